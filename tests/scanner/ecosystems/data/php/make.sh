#!/bin/sh
# Makes installed.json and composer.lock beside it with Composer (Debian 13: composer), from folders, without a network.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
package() { # name version type
    mkdir -p "packages/$1"
    printf '{"name": "%s", "version": "%s", "type": "%s", "license": "Apache-2.0"}' "$1" "$2" "$3" \
        >"packages/$1/composer.json"
}
package acme/Log-Fixture v2.10.1 library
package acme/branch-fixture 1.x-dev library
package acme/meta-fixture 3.0.0-beta2 metapackage
package acme/dev-fixture 0.4.0 library
mkdir app && cd app
cat >composer.json <<JSON
{
  "name": "acme/app",
  "repositories": [{"type": "path", "url": "../packages/acme/*", "options": {"symlink": false}}, {"packagist.org": false}],
  "require": {"acme/log-fixture": "^2", "acme/branch-fixture": "1.x-dev", "acme/meta-fixture": "3.*@beta"},
  "require-dev": {"acme/dev-fixture": "*"},
  "config": {"vendor-dir": "libraries"}
}
JSON
COMPOSER_ALLOW_SUPERUSER=1 COMPOSER_HOME="$work/home" composer install --quiet --no-interaction --no-plugins
cp libraries/composer/installed.json composer.lock "$here/"

# PHP's archives of it: plain, compressed, and as a zip archive.
php -d phar.readonly=0 "$here/phars.php" "$here/installed.json" "$here"
