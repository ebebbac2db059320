-- name: live_properties
-- The names of the properties that the newest events have, for "did you mean". $1 = an event's name, '' = any.
SELECT DISTINCT unnest(json_keys(properties)) AS property
FROM (SELECT properties FROM events WHERE $1 = '' OR name = $1 LIMIT 20000)
ORDER BY property LIMIT 1000;
