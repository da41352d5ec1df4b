*** Settings ***
Documentation       From a file of invoices to the ledger, and the bank statement against it.
...
...                 - RUN: number of the run. Decides on the batch, and on the mood of the back office.
...                 - RESULTS: folder for what the robots write.
Name                Accounts Payable
Library             back_office.py
Suite Setup         Open The Office
Suite Teardown      Close Back Office    ${OFFICE}


*** Variables ***
${RUN}              1
${RESULTS}          ${OUTPUT_DIR}${/}results


*** Keywords ***
Open The Office
    ${url} =    Open Back Office    ${RUN}
    VAR    ${OFFICE}    ${url}    scope=SUITES
    VAR    ${RESULTS}    ${RESULTS}    scope=SUITES
    VAR    ${BATCH}    ${{ (int($RUN) - 1) % 4 + 1 }}    scope=SUITES
