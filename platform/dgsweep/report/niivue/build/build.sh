#!/bin/sh
# Writes niivue.js.gz anew, byte by byte as it lies there: needs Node.js and npm, and reaches the npm registry.
# NOTICE.json holds the SHA-256 of the script in it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here"/package.json "$here"/package-lock.json "$here"/entry.js "$here"/empty.js "$work"
cd "$work"
npm ci --ignore-scripts --no-audit --no-fund --silent
npx --no-install esbuild entry.js --bundle --minify --format=iife --global-name=niivue --target=es2022 \
    --legal-comments=none --alias:zarrita=./empty.js --log-level=error --outfile=niivue.js
sha256sum niivue.js
gzip -9n < niivue.js > "$here/../niivue.js.gz"
