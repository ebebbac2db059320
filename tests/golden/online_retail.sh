#!/bin/sh
# online_retail.sh - UCI Online Retail (CC0) through the whole road: the overview's figures are the published ones. The data
# set's own file is looked for beside the checkout; without it the copy in the tree is used, unproved, and that is said.
set -eu
cd "$(dirname "$0")/../.."
. tests/golden/lib.sh

source=$shared/data/online_retail/onlineretail.csv.xz
if [ -f "$source" ]; then
    want=$(xz -dc "$source" | sha256sum)
    have=$(zstd -dcq examples/online_retail/onlineretail.csv.zst | sha256sum)
    [ "$want" = "$have" ] || { echo "FAILED the copy in examples/ is not the published file"; exit 1; }
else
    echo 'skipped: golden online_retail (the published file is not there; the copy in the tree was used)'
fi

start=$(cut -d ' ' -f 1 /proc/uptime)
"$hezou" run --data "$work/data" --port 0 --once --json --lang en > "$work/report.json"
end=$(cut -d ' ' -f 1 /proc/uptime)

field() { sed -n "s/.*\"$1\":\(-\{0,1\}[0-9.]*\).*/\1/p" "$work/report.json"; }
failed=0 cases=0
is() { # FIELD EXPECTED
    cases=$((cases + 1))
    got=$(field "$1")
    [ "$got" = "$2" ] || { echo "FAILED $1 is $got, published $2"; failed=$((failed + 1)); }
}
is lines 541909
is invoices 25900
is customers 4372
is no_customer 135080
is quantity_not_positive 10624
is price_zero 2515
is price_negative 2
is clean_lines 397884
is clean_customers 4338
is clean_revenue 8911407.904000
is events 25900
cases=$((cases + 1))
seconds=$(awk "BEGIN { print $end - $start }")
awk "BEGIN { exit !($seconds < 30) }" || { echo "FAILED loading and reporting took $seconds s"; failed=$((failed + 1)); }
echo "golden online_retail: $cases cases, $failed failed, worst deviation 0, tolerance 0 (exact); $seconds s"
[ "$failed" = 0 ]
