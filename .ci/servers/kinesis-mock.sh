#!/usr/bin/env bash
# kinesis-mock, for Kinesis with shards that close, split and merge. Needs Node.js 20 or newer.
set -euo pipefail
VERSION=0.6.2
SHA256=6d46874682bffd8c06a3ca90735e292d144626541d1450bc43326557b3dda414
folder="$1/kinesis-mock"
main="$folder/node_modules/kinesis-local/main.js"

is_right() {
  test -f "$main" && echo "$SHA256  $main" | sha256sum --check --status
}

if is_right; then
  echo "kinesis-mock $VERSION is there"
  exit 0
fi
command -v npm >/dev/null || { echo "kinesis-mock needs Node.js and npm; on Debian: apt install npm" >&2; exit 1; }
mkdir -p "$folder"
npm install --prefix "$folder" --no-package-lock --no-save --no-audit --no-fund --ignore-scripts \
  --silent "kinesis-local@$VERSION"
is_right || { echo "kinesis-mock $VERSION is not what it was: $main has another checksum" >&2; exit 1; }
echo "kinesis-mock $VERSION installed"
