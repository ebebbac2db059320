/* report_costs.c - `--cost FILE` of live attribution: what each channel (campaign, …) cost. */
#include <stdlib.h>

#include "app/report.h"
#include "app/report_live.h"
#include "base/json.h"

enum status report_costs(const struct options *options, struct buf *json, struct err *err)
{
    struct table_options file;
    struct table *table;
    int name = -1, spend = -1;
    double *numbers = NULL;
    enum status status = report_file(options, OPTION_COST, &file, err);
    if (status == ST_OK)
        status = table_read(&file, &table, err);
    if (status != ST_OK)
        return status;
    status = table_find(table, "channel", "channel|campaign|content|keyword|source|medium|name",
                        true, &name, err);
    if (status == ST_OK)
        status =
            table_find(table, "spend", "spend|cost|costs|total_cost|amount", true, &spend, err);
    if (status == ST_OK)
        status = table_numbers(table, spend, TABLE_EMPTY_REFUSED, 0, &numbers, err);
    buf_char(json, '[');
    for (size_t row = 0; status == ST_OK && row < table_rows(table); row++) {
        json_put_comma(json);
        buf_char(json, '{');
        json_put_name(json, "channel");
        json_put_lossy(json, str_trim(table_cell(table, row, name)));
        json_put_member_number(json, "spend", numbers[row]);
        buf_char(json, '}');
    }
    buf_char(json, ']');
    free(numbers);
    table_free(table);
    return status;
}
