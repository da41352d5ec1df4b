"""What `rpa-agent uninstall` takes off this machine."""
