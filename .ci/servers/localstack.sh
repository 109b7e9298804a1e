#!/usr/bin/env bash
# LocalStack, which stands for S3, SQS, SNS, EventBridge and Kinesis, into $1/localstack.
#
# It needs a Python of its own: 3.12 or 3.13, not the project's. Its requirements are pinned to the
# day of its release, as later ones break it. Its Kinesis is an npm package, which it would fetch at
# its first use: it is laid ready beside it. To export the requirements again (needs uv):
#   echo 'localstack-core[runtime]==4.14.0' | uv pip compile - --python-version 3.12 \
#     --exclude-newer 2026-03-20 --generate-hashes --no-emit-index-url --no-header --no-annotate \
#     -o requirements/localstack.txt
set -euo pipefail

folder=$1/localstack
requirements=$(cd "$(dirname "$0")/../.." && pwd)/requirements/localstack.txt
kinesis=0.5.2
kinesis_sha512=250b64342f3e8de518609b744310a9cb1406cb94e02b65b0c7f1f632f811128b05780dd7d9c0a16e9659de8fa62c4396cd6f59599ed038843abef2b72fce4298
wanted=$( (cat "$requirements"; echo "$kinesis") | sha256sum | cut -d' ' -f1)

if [ "$(cat "$folder/installed" 2>/dev/null || true)" = "$wanted" ]; then
  echo "LocalStack is installed"
  exit 0
fi

# A name on the PATH may be a shim that has no such Python behind it: ask each what it is.
find_python() {
  local candidate
  for candidate in python3.13 python3.12 ~/.pyenv/versions/3.13.*/bin/python3 \
    ~/.pyenv/versions/3.12.*/bin/python3 python3; do
    if "$candidate" -c 'import ensurepip, sys; sys.exit(sys.version_info[:2] not in ((3, 12), (3, 13)))' \
      2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
}

python=$(find_python)
if [ -z "$python" ]; then
  echo "LocalStack is not installed: it needs Python 3.12 or 3.13, with venv"
  exit 0
fi

rm -rf "$folder"
mkdir -p "$folder"
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --quiet --disable-pip-version-check \
  --require-hashes -r "$requirements"

if command -v npm >/dev/null; then
  target=$folder/kinesis-local/$kinesis
  mkdir -p "$target"
  (cd "$target" && npm pack --silent "kinesis-local@$kinesis" >/dev/null)
  echo "$kinesis_sha512  $target/kinesis-local-$kinesis.tgz" | sha512sum --quiet --check
  npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$target" \
    "$target/kinesis-local-$kinesis.tgz"
  with="its Kinesis"
else
  with="no Kinesis, as npm is missing"
fi
echo "$wanted" > "$folder/installed"
echo "LocalStack is installed now, with $("$folder/venv/bin/python" -V) and $with"
