#!/usr/bin/env bash
# Lays out what a gate reads: the base branch whole in $room/pull/.base, and of the pull request the candidate's files alone, as data,
# in $room/pull. Reads the variables that action.yml sets (ARTIFACT, BASELINE, BASE_REF, CANDIDATE, HEAD_SHA, TOKEN). Leaves the gate's arguments in $room/arguments, each ended by a NUL.
set -euo pipefail
shopt -s extglob

room="$RUNNER_TEMP/lorasent-gate"
rm -rf -- "$room" # what an earlier run left is no verdict
mkdir -p -- "$room/pull/.base" "$room/out"
printf '### ⚠️ No verdict\n\nThe gate ended before it could judge: see the log of the job.\n' > "$room/out/summary.md"

hub_name='^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+@[A-Za-z0-9_./-]+$'

say() { # level, message: an annotation; what is not printable, and what would end it, is replaced
  local message="${2//%/%25}"
  message="${message//[^[:print:]]/?}"
  printf '::%s title=lorasent::%s\n' "$1" "$message" >&2 # where a command's output is read, too
}
fail() {
  say error "$1"
  exit 1
}

# A repository of its own: no hooks, no settings of the workspace, and the token only in the environment of this process.
export GIT_DIR="$room/git" GIT_LITERAL_PATHSPECS=1 GIT_TERMINAL_PROMPT=0
git init --quiet --bare "$GIT_DIR"
git remote add origin "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY"
git symbolic-ref HEAD refs/heads/lorasent-base # git-lfs reads its settings from here, never from the pull request
if [ -n "${TOKEN:-}" ]; then
  GIT_CONFIG_VALUE_0="AUTHORIZATION: basic $(printf 'x-access-token:%s' "$TOKEN" | base64 | tr -d '\n')"
  export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="http.$GITHUB_SERVER_URL/.extraheader" GIT_CONFIG_VALUE_0
fi

lay() { # commit, path, folder, link support: writes the files of a commit below a folder, and runs nothing
  GIT_INDEX_FILE="$room/index" git -c "core.symlinks=$4" -c core.hooksPath=/dev/null --work-tree="$3" checkout --quiet "$1" -- "$2"
  rm -f -- "$room/index"
}
fetch_large() { # folder: puts files of Git LFS in the place of their pointers, whatever attributes the pull request has
  command -v git-lfs > /dev/null || return 0 # the gate says that they are pointers
  local file
  while IFS= read -r -d '' file; do
    [ "$(head -c 42 -- "$file" | tr -d '\0')" = "version https://git-lfs.github.com/spec/v1" ] || continue
    if git lfs smudge < "$file" > "$room/large"; then
      cat -- "$room/large" > "$file"
    else
      say warning "a file of Git LFS cannot be fetched, see the log"
    fi
    rm -f -- "$room/large"
  done < <(find "$1" -type f -size -1024c -print0)
}
plain() { # a path of the workflow, without ./ before it and / behind it
  local path="${1#./}"
  printf '%s' "${path%%+(/)}"
}
named() { # commit, path of a .txt file: the adapter on the hub that it names
  local name
  name="$(git cat-file blob "$1:$2" | head -c 1000 | head -n 1 | tr -d '\r')"
  [[ "$name" =~ $hub_name ]] || fail "$2: expected USER/NAME@REVISION in its first line"
  printf '%s' "$name"
}

# shellcheck disable=SC2153  # the variables are action.yml's
base_ref="${BASE_REF#refs/heads/}"
git check-ref-format "refs/heads/$base_ref" || fail "the base branch $base_ref has no name that git allows" # git would print it raw
git fetch --quiet --depth=1 origin "+refs/heads/$base_ref:refs/heads/lorasent-base" || fail "the base branch $base_ref cannot be fetched"
base="$(git rev-parse --verify 'refs/heads/lorasent-base^{commit}')"

# The candidate.
# shellcheck disable=SC2153
candidate="$(plain "$CANDIDATE")"
if [ -n "$ARTIFACT" ]; then
  adapter=../artifact
elif [[ "$candidate" =~ $hub_name ]]; then
  adapter="$candidate"
else
  [[ "$HEAD_SHA" =~ ^[0-9a-f]{40,64}$ ]] || fail "no commit of a pull request: run this on pull_request, pull_request_target or merge_group"
  case "/$candidate/" in
    // | /./ | */../* | /.base/* | //*) fail "candidate: expected a folder inside the repository, such as adapters/current" ;;
  esac
  git fetch --quiet --depth=1 origin "$HEAD_SHA" || fail "the commit $HEAD_SHA of the pull request cannot be fetched"
  case "$(git cat-file -t "$HEAD_SHA:$candidate" 2> /dev/null || true)" in
    tree)
      lay "$HEAD_SHA" "$candidate" "$room/pull" false
      fetch_large "$room/pull/$candidate"
      adapter="../$candidate"
      ;;
    blob) adapter="$(named "$HEAD_SHA" "$candidate")" ;;
    *) fail "candidate: the pull request has no $candidate" ;;
  esac
fi
arguments=("$adapter")

# The base branch: everything that decides.
lay "$base" . "$room/pull/.base" true

# The baselines. The default is what stands on the base branch where the candidate stands in the pull request.
first=""
while IFS= read -r line; do
  line="$(plain "${line//$'\r'/}")"
  [ -n "$line" ] || continue
  if [[ "$line" =~ $hub_name ]]; then
    baseline="$line"
  elif [[ "$line" == *:* ]]; then
    branch="${line%%:*}" path="$(plain "${line#*:}")" bank="$room/pull/.banks/${line%%:*}"
    if ! git fetch --quiet --depth=1 origin "+refs/heads/$branch:refs/heads/lorasent-bank" 2> /dev/null ||
      ! git cat-file -e "refs/heads/lorasent-bank:$path" 2> /dev/null; then
      say warning "$line: there is none yet; judged without it"
      continue
    fi
    mkdir -p -- "$bank"
    lay refs/heads/lorasent-bank "$path" "$bank" true
    baseline="../.banks/$branch/$path"
  elif [[ "$line" == *.txt ]] && git cat-file -e "$base:$line" 2> /dev/null; then
    baseline="$(named "$base" "$line")"
  elif [ -e "$room/pull/.base/$line" ]; then
    baseline="./$line"
  else
    say warning "$line: there is none on $base_ref; judged without it"
    continue
  fi
  arguments+=(--baseline "$baseline")
  [ -n "$first" ] || first="$baseline"
done <<< "${BASELINE:-$candidate}"
[ -n "$first" ] || say warning "no baseline: a first adapter is held to absolute limits alone"

printf '%s\0' "${arguments[@]}" > "$room/arguments"
key=first
if [ -f "$room/pull/.base/$first/adapter_config.json" ]; then
  key="$(git hash-object --no-filters "$room/pull/.base/$first/adapter_config.json")"
elif [ -n "$first" ]; then
  key="$(printf '%s' "$first" | git hash-object --stdin)"
fi
printf 'base-key=%s\n' "$key" >> "$GITHUB_OUTPUT"
