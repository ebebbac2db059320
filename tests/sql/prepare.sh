#!/bin/sh
# prepare.sh - does PostgreSQL 15 take our SQL? (DESIGN §3: one SQL text for two engines.)
#
# Starts a private server in a temporary folder (unix socket only), loads every migration with
# PostgreSQL's words, one schema for each of our two files, then PREPAREs every named query there.
# A query's schema is the folder of the file that makes its tables: state.sql asks state, all others
# ask facts. Exit 77 (skipped) where no server is installed.
set -eu
cd "$(dirname "$0")/../.."

bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
[ -x "$bin/postgres" ] || bin=$(dirname "$(command -v postgres || echo /nowhere/postgres)")
if [ ! -x "$bin/postgres" ] || [ ! -x "$bin/initdb" ]; then
    echo "skipped: postgresql"
    exit 77
fi

home=$(mktemp -d "${TMPDIR:-/tmp}/hezou_pg_XXXXXX")
as_server="" # postgres refuses to run as root
if [ "$(id -u)" = 0 ]; then
    id postgres >/dev/null 2>&1 || { echo "skipped: postgresql (no user postgres)"; rmdir "$home"; exit 77; }
    chown postgres "$home"
    as_server="setpriv --reuid=postgres --regid=postgres --clear-groups env HOME=$home"
fi
stop() {
    $as_server "$bin/pg_ctl" -D "$home/data" -m immediate -w stop >/dev/null 2>&1 || true
    rm -rf "$home"
}
trap stop EXIT

(cd "$home" && $as_server "$bin/initdb" -D "$home/data" -U postgres -A trust -E UTF8 --no-sync) >"$home/log" 2>&1 &&
    (cd "$home" && $as_server "$bin/pg_ctl" -D "$home/data" -w -l "$home/server.log" \
        -o "-c listen_addresses='' -c unix_socket_directories='$home' -c fsync=off" start) >>"$home/log" 2>&1 ||
    { cat "$home/log" "$home/server.log" 2>/dev/null; exit 1; }

words() {
    sed -e 's/@ID@/BIGSERIAL PRIMARY KEY/g' -e 's/@BYTES@/BYTEA/g' -e 's/@LOCK@/FOR UPDATE/g' \
        -e 's/@SKIP@/SKIP LOCKED/g' -e 's/@CLUSTER@//g' "$@"
}

# -- name: foo  …text…   →   PREPARE "file.foo" AS …text…;
prepares() {
    words "$1" | awk -v file="$(basename "$1" .sql)" '
        function finish() { if (name != "") print ";" }
        /^-- name: / { finish(); name = $3; printf "PREPARE \"%s.%s\" AS\n", file, name; next }
        /^[ \t]*--/ { next }
        { print }
        END { finish() }'
}

{
    for schema in facts state; do
        echo "CREATE SCHEMA $schema; SET search_path = $schema;"
        echo "CREATE TABLE schema_migration (name TEXT PRIMARY KEY NOT NULL, checksum TEXT NOT NULL);"
        for file in sql/"$schema"/[0-9]*.sql; do
            words "$file"
        done
    done
    for file in src/*/sql/*.sql; do
        case $file in
        src/warehouse/*) continue ;; # DuckDB's and ClickHouse's, never PostgreSQL's
        */state.sql) echo "SET search_path = state;" ;;
        *) echo "SET search_path = facts;" ;;
        esac
        prepares "$file"
    done
    echo "SELECT count(*) || ' queries prepared' FROM pg_prepared_statements;"
} >"$home/all.sql"

PGOPTIONS='-c client_min_messages=warning' "$bin/psql" -h "$home" -U postgres -d postgres -X -q -A -t \
    -v ON_ERROR_STOP=1 -f "$home/all.sql"

# All of them, not only those that psql understood as such.
wanted=$(cat $(ls src/*/sql/*.sql | grep -v '^src/warehouse/') | grep -c '^-- name: ')
got=$(grep -c '^PREPARE ' "$home/all.sql")
[ "$wanted" = "$got" ] || { echo "$wanted named queries, $got PREPAREs"; exit 1; }
