# lib.sh - rows of figures for the scripts of this folder. $work is the script's own folder; what people read while it runs goes
# to stderr, the whole table to stdout at the end.
missed=0 table=$work/table

say() { printf 'bench: %s\n' "$*" >&2; }
field() { sed -n "s/.*\"$1\":\(-\{0,1\}[0-9.]*\).*/\1/p"; } # NAME: of one line of JSON
calc() { awk "BEGIN { printf \"%.3f\", $* }"; }

rows_begin() { printf '%-58s %12s %-8s %10s %10s\n' 'figure' 'measured' '' 'must' 'aim' | tee "$table" >&2; }

row() { # WHAT VALUE UNIT MUST AIM lower|higher
    verdict=$(awk -v v="$2" -v must="$4" -v aim="$5" -v kind="$6" 'BEGIN {
        if (must == "-") { print ""; exit }
        if (kind == "lower") { v = -v; must = -must; aim = -aim }
        print (v >= aim ? "aim" : (v >= must ? "must" : "MISSED")) }')
    [ "$verdict" != MISSED ] || missed=$((missed + 1))
    printf '%-58s %12s %-8s %10s %10s  %s\n' "$1" "$2" "$3" "$4" "$5" "$verdict" | tee -a "$table" >&2
}

rows_end() { # NAME: the table stays in build/NAME; the exit code says whether a must was missed
    mkdir -p build
    cp "$table" "build/$1"
    cat "$table"
    printf 'bench: %d of the musts missed\n' "$missed"
    [ "$missed" = 0 ]
}

# RUNS COMMAND...: the least wall and CPU seconds (its own and its children's) of that many runs, process start included.
took() {
    python3 - "$@" <<-'END'
	import os, subprocess, sys, time
	wall = cpu = float("inf")
	for _ in range(int(sys.argv[1])):
	    before, start = os.times(), time.perf_counter()
	    subprocess.run(sys.argv[2:], stdout=subprocess.DEVNULL, check=True)
	    wall, after = min(wall, time.perf_counter() - start), os.times()
	    cpu = min(cpu, after.children_user + after.children_system - before.children_user - before.children_system)
	print("%.3f %.3f" % (wall, cpu))
	END
}
