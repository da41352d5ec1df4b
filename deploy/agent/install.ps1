# Finds a Python that the agent runs on and lets it run install.py with the same arguments.
# powershell -NoProfile -ExecutionPolicy Bypass -File install.ps1 --silent --store ...
# $env:PYTHON = 'C:\Path\python.exe' names one.
$installer = Join-Path $PSScriptRoot 'install.py'
$fits = 'import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] < (3, 14) and sys.maxsize > 2**32))'
# Intune starts a 32-bit PowerShell, for which ProgramFiles is another folder.
$programs = if ($env:ProgramW6432) { $env:ProgramW6432 } else { $env:ProgramFiles }

$candidates = @()
if ($env:PYTHON) { $candidates += @{ Program = $env:PYTHON; Options = @() } }
foreach ($version in '3.13', '3.12', '3.11') {
    $candidates += @{ Program = 'py'; Options = @("-$version") }
    $folder = 'Python' + $version.Replace('.', '')
    $candidates += @{ Program = (Join-Path $programs "$folder\python.exe"); Options = @() }
}
$candidates += @{ Program = 'python'; Options = @() }

foreach ($candidate in $candidates) {
    $program = $candidate.Program
    $options = $candidate.Options
    if (-not (Get-Command $program -ErrorAction SilentlyContinue)) { continue }
    & $program @options -c $fits 2>$null | Out-Null
    if ($LASTEXITCODE -eq 0) {
        & $program @options $installer @args
        exit $LASTEXITCODE
    }
}
[Console]::Error.WriteLine('No Python 3.11, 3.12 or 3.13 for 64 bits was found. Install one from python.org')
[Console]::Error.WriteLine('(option "Install for all users"), or name it by the variable PYTHON.')
exit 3
