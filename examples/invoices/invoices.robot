*** Settings ***
Documentation       Takes in a batch of invoices, checks their vendors and posts them.
Library             Collections
Library             accounts_payable.py


*** Tasks ***
Intake Invoices
    [Documentation]    Refuses rows that cannot be right; with more than two of them the batch goes back.
    ${rows} =    Read Rows    ${CURDIR}/invoices.csv    batch=${BATCH}
    ${rates} =    Ask    rates
    VAR    @{seen}
    ${taken}    ${refused} =    For Each Row    ${rows}    Check Row    ${rates}    ${seen}
    Write Rows    ${RESULTS}/refused_rows.csv    ${refused}    number    vendor    amount    why
    Save    ${RESULTS}/taken_in.json    ${{ $taken if len($refused) <= 2 else [] }}
    Refusals Should Be At Most    2    ${refused}    ${rows}

Check Vendors
    [Documentation]    Invoices of unknown or blocked vendors stay here.
    ${invoices} =    Load    ${RESULTS}/taken_in.json
    Skip If    not $invoices    No invoice of this batch was taken in.
    ${approved}    ${refused} =    For Each Row    ${invoices}    Check Vendor
    Save    ${RESULTS}/approved.json    ${approved}
    Write Rows    ${RESULTS}/refused_vendors.csv    ${refused}    number    vendor    why
    Refusals Should Be At Most    0    ${refused}    ${invoices}

Post Invoices
    [Documentation]    Posts what fits its order. What was posted is written down, however the task ends.
    ${invoices} =    Load    ${RESULTS}/taken_in.json
    Skip If    not $invoices    No invoice of this batch was taken in.
    ${approved} =    Load    ${RESULTS}/approved.json
    ${posted}    ${refused} =    For Each Row    ${approved}    Post Invoice
    Write Rows    ${RESULTS}/refused_invoices.csv    ${refused}    number    order    why
    Refusals Should Be At Most    0    ${refused}    ${approved}
    [Teardown]    Write Down Postings


*** Keywords ***
For Each Row
    [Documentation]    Runs the keyword on each row; gives its results, and the rows it refused, with why.
    [Arguments]    ${rows}    ${keyword}    @{further}
    VAR    @{done}
    VAR    @{refused}
    FOR    ${row}    IN    @{rows}
        TRY
            ${result} =    Run Keyword    ${keyword}    ${row}    @{further}
            Append To List    ${done}    ${result}
        EXCEPT    BusinessException:    type=START    AS    ${why}
            ${refusal} =    Refusal Of    ${row}    ${why}
            Append To List    ${refused}    ${refusal}
        END
    END
    RETURN    ${done}    ${refused}

Check Vendor
    [Arguments]    ${invoice}
    ${vendor} =    Ask    vendors/${invoice}[vendor]
    Vendor Should Be Payable    ${invoice}    ${vendor}
    RETURN    ${invoice}

Post Invoice
    [Arguments]    ${invoice}
    ${order} =    Ask    orders/${invoice}[order]
    Invoice Should Fit Its Order    ${invoice}    ${order}
    ${posting} =    Posting Of    ${invoice}
    Wait Until Keyword Succeeds    3x    50 ms    Send    ${OFFICE}/postings    ${posting}
    RETURN    ${posting}

Write Down Postings
    ${postings} =    Ask    postings
    Write Rows    ${RESULTS}/posted.csv    ${postings}    number    vendor    order    amount_eur_cents

Ask
    [Documentation]    What the back office says; one that does not answer is asked three times.
    [Arguments]    ${path}
    ${answer} =    Wait Until Keyword Succeeds    3x    50 ms    Fetch    ${OFFICE}/${path}
    RETURN    ${answer}
