*** Settings ***
Documentation       Compares the bank statement of the day with the ledger.
Library             Collections
Library             accounts_payable.py


*** Tasks ***
Reconcile Statement
    [Documentation]    Every payment must have a posting of the same amount.
    ${lines} =    Read Rows    ${CURDIR}/statement.csv    batch=${BATCH}
    ${ledger} =    Fetch The Ledger
    Write Rows    ${RESULTS}/ledger.csv    ${ledger}    number    amount_eur_cents
    Statement Should Agree    ${lines}    ${ledger}


*** Keywords ***
Fetch The Ledger
    [Documentation]    What was posted before, and what was posted today.
    ${before} =    Wait Until Keyword Succeeds    3x    50 ms    Fetch    ${OFFICE}/ledger
    ${today} =    Wait Until Keyword Succeeds    3x    50 ms    Fetch    ${OFFICE}/postings
    ${ledger} =    Combine Lists    ${before}    ${today}
    RETURN    ${ledger}
