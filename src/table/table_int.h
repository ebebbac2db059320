/* table_int.h - for the folder alone: what a table holds, and how a cell is understood. */
#ifndef TABLE_TABLE_INT_H
#define TABLE_TABLE_INT_H

#include "table/table.h"
#include "warehouse/parquet.h"

#define TABLE_ROLES_MAX 64

struct table_role {
    struct str role;
    int column;
};

/* What table_find was asked for: the one thing of a table that reading it changes. */
struct table_asked {
    const char *roles[TABLE_ROLES_MAX];
    size_t count;
};

struct table {
    char *bytes;                      /* of a text file, terminated; cells point into it */
    struct warehouse_parquet parquet; /* its cells, when there are no bytes */
    char *columns_text;               /* roles point into it */
    struct table_role roles[TABLE_ROLES_MAX];
    size_t roles_count;
    struct table_asked *asked;
    char delimiter; /* 0 for Parquet */
    size_t columns, rows;
    struct str *cells; /* (rows + 1) × columns; the first row are the names */
    uint64_t *lines;   /* of each row; NULL for Parquet */
};

/* Empty, or one of the words that programs write for nothing. `cell` is trimmed. */
bool table_cell_is_empty(struct str cell);
/* A finite decimal number, as C reads it. `cell` is trimmed and a part of a table. */
bool table_cell_number(struct str cell, double *ret_value);
#endif
