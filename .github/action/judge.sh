#!/usr/bin/env bash
# Judges, and reads the verdict from the file that only the gate writes. An absent file, or one that contradicts the exit code, is no
# verdict. Does not fail for a verdict: the last step of action.yml does, so that report and comment are written for every verdict.
set -euo pipefail

room="$RUNNER_TEMP/lorasent-gate" python="$RUNNER_TEMP/lorasent-python/bin/python"
out="$room/out"
rm -f -- "$out/verdict.json" "$out/summary.md" "$out/integrity.sarif" "$out/report.html"

mapfile -d '' -t arguments < "$room/arguments"
[ -z "$DATA" ] || arguments+=(--data "$DATA")
[ -z "$WAIVERS" ] || arguments+=(--waivers "$WAIVERS")
[ -z "$PRECISION" ] || arguments+=(--precision "$PRECISION")

cd -- "$room/pull/.base" # of the base branch; -I keeps Python from importing what lies here
code=0
"$python" -I -m lorasent.cli gate "${arguments[@]}" --policy "$POLICY" --json-out "$out/verdict.json" --summary "$out/summary.md" \
  --sarif "$out/integrity.sarif" --report "$out/report.html" --annotations /dev/stderr || code=$?

verdict="$("$python" -I -c 'import json, sys; print(json.load(open(sys.argv[1], encoding="utf-8"))["outcome"])' "$out/verdict.json" || true)"
case "$verdict $code" in
  "PASS 0" | "BLOCK 1" | "INCONCLUSIVE 3" | "INVALID 4") ;;
  *)
    verdict=NONE
    printf '### ⚠️ No verdict\n\nThe gate ended with exit code %s: see the log of the job.\n' "$code" > "$out/summary.md"
    printf '::error title=lorasent::no verdict: the gate ended with exit code %s\n' "$code"
    ;;
esac
cat -- "$out/summary.md" >> "$GITHUB_STEP_SUMMARY"

{
  printf 'verdict=%s\nsummary=%s\n' "$verdict" "$out/summary.md"
  [ ! -f "$out/verdict.json" ] || printf 'json=%s\n' "$out/verdict.json"
  [ ! -f "$out/report.html" ] || printf 'report=%s\n' "$out/report.html"
  [ ! -f "$out/integrity.sarif" ] || printf 'sarif=%s\n' "$out/integrity.sarif"
} >> "$GITHUB_OUTPUT"
