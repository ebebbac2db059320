/* analytics.h - reports: what the collected events say, in numbers that can be checked.
 *
 * A report is a function from the warehouse to one JSON object. Money is exact decimal text in JSON
 * numbers. Reports on sequences (funnels, paths, retention) will stand on the timeline, not on SQL
 * (DESIGN §9). Depends on: base, warehouse. Called by: api. No tables, no personal data of its own:
 * counts only. */
#ifndef ANALYTICS_ANALYTICS_H
#define ANALYTICS_ANALYTICS_H

#include "warehouse/warehouse.h"

/* The first diagnosis of a company's channels (MISSION M15). Appends to `json`:
 *   {"totals": {"events","known_events","match_rate","people","orders","first_event","last_event"},
 *    "lines":   {"lines","invoices","customers","no_customer","quantity_not_positive","price_zero",
 *                "price_negative","clean_lines","clean_customers","clean_revenue"},
 *    "sources": [{"source","channel","events","match_rate","people","orders","revenue"}],
 *    "records": [{"verdict","reason","records"}],
 *    "seconds": 0.2}
 * A line is a product of an Order Completed or Order Cancelled. The cleaning rule (customer known,
 * quantity > 0, price > 0) is the report's: no line is thrown away on the way in. Revenue is the
 * sum of quantity × price of clean lines, and the event's amount where an order came without
 * products. */
MUST_USE enum status analytics_overview(struct warehouse *warehouse, struct buf *json,
                                        struct err *err);
#endif
