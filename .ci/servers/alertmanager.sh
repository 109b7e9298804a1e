#!/usr/bin/env bash
# Prometheus Alertmanager, from Debian's package, into $1/alertmanager. The package is unpacked and
# not installed: its service is not started, and no other place is touched. Where an `alertmanager`
# is on the PATH already, nothing is done and tests use that.
#
# The version is the one of Debian 12. Where apt has another one, it is taken and said; apt checks
# the signature of either.
set -euo pipefail

version=0.25.0-1+b4
sha256_amd64=4fb9aed15cfe8e0c32408e643ab32a1e41ee87d2cc26f18aeba928b1b0b98ae7
folder=$1/alertmanager
binary=$folder/usr/bin/prometheus-alertmanager

if command -v alertmanager || command -v prometheus-alertmanager; then
  echo "Alertmanager is on the PATH"
  exit 0
fi
if [ -x "$binary" ]; then
  echo "Alertmanager is installed"
  exit 0
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
  echo "Alertmanager is not installed: it comes from Debian's packages; put one on the PATH"
  exit 0
fi

download=$(mktemp -d)
trap 'rm -rf "$download"' EXIT
chmod 755 "$download"  # apt downloads as a user of its own where it can

fetch() {
  (cd "$download" && apt-get -qq download "$1" >/dev/null 2>errors)
}

# A new container has no lists of packages, and an old one names what is gone.
if ! fetch "prometheus-alertmanager=$version"; then
  apt-get -qq update
  fetch "prometheus-alertmanager=$version" || fetch prometheus-alertmanager \
    || { cat "$download/errors" >&2; exit 1; }
fi
package=$(echo "$download"/*.deb)
if [[ $package == *_"$version"_amd64.deb ]]; then
  echo "$sha256_amd64  $package" | sha256sum --check --quiet
fi
mkdir -p "$1"
rm -rf "$folder" "$folder.new"
dpkg -x "$package" "$folder.new"
# Debian's program looks for its template in a fixed place, which is not there: it is made to look
# below the folder that it is started in. Both names have the same length.
sed -i 's#/usr/share/prometheus/alertmanager#usr//share/prometheus/alertmanager#g' \
  "$folder.new/usr/bin/prometheus-alertmanager"
mv "$folder.new" "$folder"
echo "$(basename "$package" .deb) is unpacked now"
