/* report_table.c - `hezou report table --file F`. */
#include "app/report.h"
#include "table/report.h"

enum status report_table(const struct options *options, struct buf *json, struct err *err)
{
    struct table_options file;
    enum status status = report_file(options, OPTION_FILE, &file, err);
    return status == ST_OK ? table_report(&file, json, err) : status;
}
