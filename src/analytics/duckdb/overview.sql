-- name: overview_totals
-- The size of what is there, and how much of it is known to belong to somebody.
SELECT count(*) AS events,
       count(*) FILTER (WHERE person <> 0) AS known_events,
       CASE WHEN count(*) = 0 THEN 0
            ELSE round(count(*) FILTER (WHERE person <> 0) / count(*), 6) END AS match_rate,
       count(DISTINCT person) FILTER (WHERE person <> 0) AS people,
       count(DISTINCT json_extract_string(properties, '$.order_id'))
           FILTER (WHERE name = 'Order Completed') AS orders,
       CAST(min(time) AS VARCHAR) AS first_event,
       CAST(max(time) AS VARCHAR) AS last_event
FROM events;

-- name: overview_lines
-- Why lines fall out, each reason counted on its own (a line may have several), and what is left. from_json turns what
-- is no number into NULL, which no reason counts and no clean line has.
WITH orders AS (
    SELECT person, json_extract_string(properties, '$.order_id') AS order_id,
           from_json(json_extract(properties, '$.products'),
                     '[{"quantity":"DECIMAL(18,6)","price":"DECIMAL(18,6)"}]') AS products
    FROM events
    WHERE name IN ('Order Completed', 'Order Cancelled')
), lines AS (
    SELECT person, product.quantity AS quantity, product.price AS price
    FROM (SELECT person, unnest(products) AS product FROM orders)
)
SELECT count(*) AS lines,
       (SELECT count(DISTINCT order_id) FROM orders) AS invoices,
       (SELECT count(DISTINCT person) FROM orders WHERE person <> 0) AS customers,
       count(*) FILTER (WHERE person = 0) AS no_customer,
       count(*) FILTER (WHERE quantity <= 0) AS quantity_not_positive,
       count(*) FILTER (WHERE price = 0) AS price_zero,
       count(*) FILTER (WHERE price < 0) AS price_negative,
       count(*) FILTER (WHERE person <> 0 AND quantity > 0 AND price > 0) AS clean_lines,
       count(DISTINCT person) FILTER (WHERE person <> 0 AND quantity > 0 AND price > 0) AS clean_customers,
       coalesce(CAST(sum(quantity * price) FILTER (WHERE person <> 0 AND quantity > 0 AND price > 0)
                     AS DECIMAL(38, 6)), 0) AS clean_revenue
FROM lines;

-- name: overview_sources
-- Where it comes from: one row per source and channel.
WITH orders AS (
    SELECT source, channel, person, amount,
           from_json(json_extract(properties, '$.products'),
                     '[{"quantity":"DECIMAL(18,6)","price":"DECIMAL(18,6)"}]') AS products
    FROM events
    WHERE name = 'Order Completed'
), money AS (
    SELECT source, channel, product.quantity * product.price AS revenue
    FROM (SELECT source, channel, person, unnest(products) AS product FROM orders)
    WHERE person <> 0 AND product.quantity > 0 AND product.price > 0
    UNION ALL
    SELECT source, channel, CAST(amount AS DECIMAL(36, 12)) FROM orders
    WHERE person <> 0 AND amount > 0 AND coalesce(len(products), 0) = 0
), revenue AS (
    SELECT source, channel, CAST(sum(revenue) AS DECIMAL(38, 6)) AS revenue FROM money GROUP BY ALL
), counts AS (
    SELECT source, channel, count(*) AS events,
           round(count(*) FILTER (WHERE person <> 0) / count(*), 6) AS match_rate,
           count(DISTINCT person) FILTER (WHERE person <> 0) AS people,
           count(DISTINCT json_extract_string(properties, '$.order_id'))
               FILTER (WHERE name = 'Order Completed') AS orders
    FROM events
    GROUP BY ALL
)
SELECT counts.source, counts.channel, events, match_rate, people, orders, coalesce(revenue, 0) AS revenue
FROM counts LEFT JOIN revenue
  ON counts.source IS NOT DISTINCT FROM revenue.source AND counts.channel IS NOT DISTINCT FROM revenue.channel
ORDER BY revenue DESC, events DESC, counts.source, counts.channel
LIMIT 200;

-- name: overview_records
-- What became of every journal record: stored, duplicate, or quarantined with its reason.
SELECT verdict, coalesce(reason, '') AS reason, count(*) AS records
FROM records
GROUP BY ALL
ORDER BY verdict, records DESC, reason;
