# Runs steps, bounded in time, and counts how they went. Sourced by scripts/test.

passed=0
failed=0
failures=()

steps_begin() {
    steps_dir=$(mktemp -d "${TMPDIR:-/tmp}/quorate-test.XXXXXX")
    trap 'rm -rf "$steps_dir"' EXIT
}

# run NAME SECONDS COMMAND..: runs it, shown and kept in $output; its status is returned.
run() {
    local name=$1 seconds=$2
    shift 2
    output=$steps_dir/$((passed + failed)).log
    echo "=== $name"
    local begun=$SECONDS
    timeout --kill-after=10 "$seconds" "$@" 2>&1 </dev/null | tee "$output"
    local status=${PIPESTATUS[0]}
    [ "$status" = 124 ] && echo "$name: not done after $seconds seconds"
    echo "--- $name: $((SECONDS - begun)) s, status $status"
    return "$status"
}

# step NAME SECONDS COMMAND..: counts as one.
step() {
    if run "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        failures+=("$1")
    fi
}

# tests NAME SECONDS COMMAND..: counts what cargo's `test result:` lines say.
tests() {
    run "$@"
    local status=$?
    local good bad
    good=$(awk '/^test result:/ { sum += $4 } END { print sum + 0 }' "$output")
    bad=$(awk '/^test result:/ { sum += $6 } END { print sum + 0 }' "$output")
    passed=$((passed + good))
    if [ "$status" != 0 ] && [ "$bad" = 0 ]; then
        # It did not build, died, or ran out of time.
        bad=1
    elif [ "$status" = 0 ] && [ "$((good + bad))" = 0 ]; then
        # Zero tests is no pass, except where there may be none.
        case $1 in
            examples* | long*) ;;
            *) echo "$1: no test ran"; bad=1 ;;
        esac
    fi
    failed=$((failed + bad))
    if [ "$bad" != 0 ]; then
        failures+=("$1: $(awk '/^test .* FAILED$/ { print $2 }' "$output" | sort -u | head -20 | tr '\n' ' ')")
    fi
}

steps_end() {
    local failure
    for failure in "${failures[@]+"${failures[@]}"}"; do
        echo "failed: $failure"
    done
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
}
