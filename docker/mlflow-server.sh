#!/bin/sh
# Start the MLflow server: runs and users in PostgreSQL, artifacts proxied to an S3-compatible store, basic-auth on.
# Secrets come from files, so that no command line, image or `docker inspect` shows them. Named by these variables:
#   DATABASE_PASSWORD_FILE   of DATABASE_USER at DATABASE_HOST:DATABASE_PORT
#   ADMIN_PASSWORD_FILE      of the user `admin`, read when the user store is empty
#   SERVER_KEY_FILE          key that signs the browser's forms
#   S3_ACCESS_KEY_FILE, S3_SECRET_KEY_FILE
# A value of sweep files never reaches this script.
set -eu
umask 077

content() {
  if [ ! -s "$1" ]; then
    echo "mlflow-server: secret file $1 is missing or empty; docker/make-secrets.sh writes it" >&2
    exit 2
  fi
  cat "$1"
}

# An assignment of its own each: `export X=$(...)` would hide that the file is missing.
PGPASSWORD=$(content "$DATABASE_PASSWORD_FILE")
MLFLOW_AUTH_ADMIN_PASSWORD=$(content "$ADMIN_PASSWORD_FILE")
MLFLOW_FLASK_SERVER_SECRET_KEY=$(content "$SERVER_KEY_FILE")
AWS_ACCESS_KEY_ID=$(content "$S3_ACCESS_KEY_FILE")
AWS_SECRET_ACCESS_KEY=$(content "$S3_SECRET_KEY_FILE")
export PGPASSWORD MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY

# The driver is named: SQLAlchemy 2.1 would take psycopg 3 for a plain postgresql://
database="postgresql+psycopg2://${DATABASE_USER}@${DATABASE_HOST}:${DATABASE_PORT:-5432}"
settings=$(mktemp -d)
MLFLOW_AUTH_CONFIG_PATH="$settings/basic_auth.ini"
export MLFLOW_AUTH_CONFIG_PATH MLFLOW_BACKEND_STORE_URI="$database/${DATABASE_NAME}"
# A user sees what is granted to it, its own experiments first; tables of users lie beside those of runs, by other names.
cat > "$MLFLOW_AUTH_CONFIG_PATH" <<INI
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = $database/${DATABASE_NAME}
admin_username = admin
auth_cache_ttl_seconds = 60
INI

# Once, before several server processes start: they would race to make the tables.
python -m mlflow db upgrade "$MLFLOW_BACKEND_STORE_URI"

exec python -m mlflow server --app-name basic-auth --host "${MLFLOW_HOST:-0.0.0.0}" --port "${MLFLOW_PORT:-5000}" \
  --workers "${MLFLOW_WORKERS:-2}" --serve-artifacts --artifacts-destination "s3://${S3_BUCKET}/mlflow" \
  --allowed-hosts "$MLFLOW_ALLOWED_HOSTS"
