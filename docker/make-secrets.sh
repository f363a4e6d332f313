#!/bin/sh
# Write the secret files that compose.yaml names into FOLDER (default: docker/secrets), readable by you alone. A file
# that is there stays as it is.
set -eu
umask 077
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"

random() {
  head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'
}

for name in ray_token database_password mlflow_admin_password mlflow_server_key s3_access_key s3_secret_key; do
  [ -s "$folder/$name" ] || random > "$folder/$name"
done
[ -s "$folder/s3_identities.json" ] || cat > "$folder/s3_identities.json" <<JSON
{"identities": [{"name": "mlflow",
  "credentials": [{"accessKey": "$(cat "$folder/s3_access_key")", "secretKey": "$(cat "$folder/s3_secret_key")"}],
  "actions": ["Admin", "Read", "List", "Tagging", "Write"]}]}
JSON
echo "secrets are in $folder"
