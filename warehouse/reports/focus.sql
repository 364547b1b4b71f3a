-- The charges of the month in FOCUS 1.2: one row per day, extension, destination and currency of calls; per day,
-- destination and currency of messages; and the rows of `purchase` (bundles and invoices, made by focus.py).
--
-- Every business day and month is given by its bounds in UTC. A charge that no vendor's invoice holds belongs to the
-- statement of its connection, account, month and currency.
WITH extension AS (
    -- One name and department for a number: its telephone's, where several things share it.
    SELECT
        connection,
        account_id,
        extension,
        first(name ORDER BY type IS DISTINCT FROM 'phone', type, extension_id) AS name,
        first(department ORDER BY department IS NULL, type IS DISTINCT FROM 'phone', type, extension_id) AS department
    FROM core.extension
    WHERE extension IS NOT NULL
    GROUP BY connection, account_id, extension
),
talk AS (
    -- To an outside party each leg talks for itself, as it costs, also one that an inbound call was forwarded by; what
    -- came in or stayed inside talks once, as core.call has it.
    SELECT call_date, connection, account_id, extension, direction, destination_country, currency, sum(seconds) AS seconds
    FROM (
        SELECT
            call_date,
            connection,
            account_id,
            extension,
            direction,
            remote_country AS destination_country,
            currency,
            CASE WHEN outcome = 'answered' THEN greatest(coalesce(duration_seconds, 0), 0) ELSE 0 END AS seconds
        FROM core.cdr
        WHERE direction = 'outbound' AND call_date >= $first AND call_date < $next
        UNION ALL
        SELECT call_date, connection, account_id, extension, direction, NULL, currency, talk_seconds
        FROM core.call
        WHERE direction <> 'outbound' AND call_date >= $first AND call_date < $next
    )
    GROUP BY ALL
),
usage AS (
    SELECT
        cost.charge_kind,
        cost.vendor,
        cost.connection,
        cost.account_id,
        cost.cost_centre,
        cost.currency,
        cost.direction,
        cost.destination_country,
        'Usage' AS category,
        'Usage-Based' AS frequency,
        cost.cost_date AS billed_on,
        cost.cost_date AS first_day,
        cost.cost_date + 1 AS end_day,
        cost.cost AS billed_cost,
        cost.cost AS effective_cost,
        cost.cost AS list_cost,
        -- What a row costs is many prices added up; what is priced is the day. A negative one is so many days back.
        abs(cost.cost) AS unit_price,
        CASE WHEN cost.cost < 0 THEN -1 ELSE 1 END AS quantity,
        'Days' AS unit,
        CASE WHEN cost.charge_kind = 'call' THEN coalesce(talk.seconds, 0) ELSE cost.quantity END AS consumed,
        CASE WHEN cost.charge_kind = 'call' THEN 'Seconds' ELSE 'Messages' END AS consumed_unit,
        CASE
            WHEN cost.extension IS NOT NULL THEN concat_ws('/', cost.connection, cost.account_id, cost.extension)
        END AS resource_id,
        extension.name AS resource_name,
        CASE WHEN cost.extension IS NOT NULL THEN 'Extension' END AS resource_type,
        extension.department,
        concat_ws(
            ' ',
            upper(cost.direction[1]) || cost.direction[2:],
            CASE WHEN cost.charge_kind = 'call' THEN 'calls' ELSE 'messages' END,
            'to ' || cost.destination_country
        ) AS description,
        concat_ws('/', cost.direction, cost.destination_country) AS sku,
        cost.quantity AS records,
        cost.unrated
    FROM mart.cost_daily AS cost
    LEFT JOIN talk
        ON cost.charge_kind = 'call'
        AND talk.call_date = cost.cost_date
        AND talk.connection = cost.connection
        AND talk.account_id IS NOT DISTINCT FROM cost.account_id
        AND talk.extension IS NOT DISTINCT FROM cost.extension
        AND talk.direction IS NOT DISTINCT FROM cost.direction
        AND talk.destination_country IS NOT DISTINCT FROM cost.destination_country
        AND talk.currency IS NOT DISTINCT FROM cost.currency
    LEFT JOIN extension
        ON extension.connection = cost.connection
        AND extension.account_id IS NOT DISTINCT FROM cost.account_id
        AND extension.extension = cost.extension
    -- A cost that the vendor did not give is unknown, and FOCUS has no word for that: such rows are counted, not written.
    WHERE cost.charge_kind IN ('call', 'sms')
        AND cost.cost IS NOT NULL
        AND cost.cost_date >= $first
        AND cost.cost_date < $next
),
charge AS (
    SELECT
        *,
        NULL AS invoice_id,
        NULL AS invoice_number,
        NULL AS line
    FROM usage
    UNION ALL BY NAME
    SELECT * FROM purchase
),
named AS (
    SELECT
        charge.*,
        CASE charge.vendor
            WHEN 'pbxware' THEN 'Bicom PBXware'
            WHEN 'sipcentric' THEN 'Sipcentric'
            WHEN 'time4vps' THEN 'Time4VPS'
            ELSE charge.vendor
        END AS provider,
        CASE
            WHEN charge.category IN ('Usage', 'Purchase')
                THEN concat_ws('/', charge.vendor, charge.charge_kind, nullif(charge.sku, ''))
        END AS sku_id,
        account.name AS account_name
    FROM charge
    LEFT JOIN core.account AS account
        ON account.connection = charge.connection AND account.account_id = charge.account_id
)
SELECT
    NULL AS AvailabilityZone,
    billed_cost AS BilledCost,
    connection AS BillingAccountId,
    connection AS BillingAccountName,
    CASE vendor
        WHEN 'pbxware' THEN 'Telephone system'
        WHEN 'time4vps' THEN 'Hosting account'
        ELSE 'Telephone account'
    END AS BillingAccountType,
    currency AS BillingCurrency,
    timezone($zone, CAST($next AS TIMESTAMP)) AS BillingPeriodEnd,
    timezone($zone, CAST($first AS TIMESTAMP)) AS BillingPeriodStart,
    NULL AS CapacityReservationId,
    NULL AS CapacityReservationStatus,
    category AS ChargeCategory,
    NULL AS ChargeClass,
    description AS ChargeDescription,
    frequency AS ChargeFrequency,
    timezone($zone, CAST(end_day AS TIMESTAMP)) AS ChargePeriodEnd,
    timezone($zone, CAST(first_day AS TIMESTAMP)) AS ChargePeriodStart,
    NULL AS CommitmentDiscountCategory,
    NULL AS CommitmentDiscountId,
    NULL AS CommitmentDiscountName,
    NULL AS CommitmentDiscountQuantity,
    NULL AS CommitmentDiscountStatus,
    NULL AS CommitmentDiscountType,
    NULL AS CommitmentDiscountUnit,
    consumed AS ConsumedQuantity,
    consumed_unit AS ConsumedUnit,
    list_cost AS ContractedCost,
    unit_price AS ContractedUnitPrice,
    effective_cost AS EffectiveCost,
    CASE
        WHEN invoice_id IS NOT NULL THEN connection || '/' || invoice_id
        ELSE concat_ws('/', connection, account_id, strftime(billed_on, '%Y-%m'), currency)
    END AS InvoiceId,
    provider AS InvoiceIssuerName,
    list_cost AS ListCost,
    unit_price AS ListUnitPrice,
    CASE WHEN sku_id IS NOT NULL THEN 'Standard' END AS PricingCategory,
    currency AS PricingCurrency,
    unit_price AS PricingCurrencyContractedUnitPrice,
    effective_cost AS PricingCurrencyEffectiveCost,
    unit_price AS PricingCurrencyListUnitPrice,
    quantity AS PricingQuantity,
    unit AS PricingUnit,
    provider AS ProviderName,
    provider AS PublisherName,
    NULL AS RegionId,
    NULL AS RegionName,
    resource_id AS ResourceId,
    resource_name AS ResourceName,
    resource_type AS ResourceType,
    CASE WHEN charge_kind IN ('call', 'sms', 'bundle') THEN 'Business Applications' ELSE 'Compute' END AS ServiceCategory,
    CASE charge_kind
        WHEN 'call' THEN 'Telephone calls'
        WHEN 'sms' THEN 'Text messages'
        WHEN 'bundle' THEN 'Call bundles'
        ELSE 'Hosting'
    END AS ServiceName,
    CASE
        WHEN charge_kind IN ('call', 'sms', 'bundle') THEN 'Productivity and Collaboration'
        ELSE 'Virtual Machines'
    END AS ServiceSubcategory,
    sku_id AS SkuId,
    CASE
        WHEN sku_id IS NULL THEN NULL
        WHEN charge_kind = 'call' THEN 'Calls'
        WHEN charge_kind = 'sms' THEN 'Messages'
        WHEN charge_kind = 'bundle' THEN 'Bundles'
        ELSE 'Hosting'
    END AS SkuMeter,
    NULL AS SkuPriceDetails,
    sku_id AS SkuPriceId,
    connection || '/' || account_id AS SubAccountId,
    CASE WHEN account_id IS NOT NULL THEN coalesce(account_name, account_id) END AS SubAccountName,
    CASE WHEN account_id IS NOT NULL THEN CASE vendor WHEN 'pbxware' THEN 'Tenant' ELSE 'Customer' END END
        AS SubAccountType,
    CAST(
        CASE
            WHEN department IS NULL THEN json_object('cost_centre', cost_centre)
            ELSE json_object('cost_centre', cost_centre, 'department', department)
        END AS VARCHAR
    ) AS Tags,
    charge_kind AS x_ChargeKind,
    destination_country AS x_DestinationCountry,
    direction AS x_Direction,
    invoice_number AS x_InvoiceNumber,
    records AS x_Records,
    unrated AS x_UnratedRecords
FROM named
ORDER BY
    first_day, connection, account_id, charge_kind, resource_id, currency, direction, destination_country, invoice_id,
    line, category, billed_on, end_day, billed_cost, description
