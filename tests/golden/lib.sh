# lib.sh - for the golden scripts in sh: the program, the published data, a folder that goes away.
# Data sets are looked for in $HEZOU_SHARED, else in ../shared beside the checkout.
hezou=${HEZOU:-build/release/src/app/hezou}
shared=${HEZOU_SHARED:-../shared}
work=$(mktemp -d "${TMPDIR:-/tmp}/hezou-golden-XXXXXX")
trap 'rm -rf "$work"' EXIT

need() { # NAME FILE: of data/, else this family is skipped (a failure with STRICT=1)
    [ ! -f "$shared/data/$2" ] || return 0
    [ "${STRICT:-0}" = 0 ] || { echo "FAILED golden $1: $2 is not there"; exit 1; }
    echo "skipped: golden $1 ($2 is not there)"
    exit 77
}
