#!/bin/sh
# Makes the files beside it with RubyGems and Bundler (Debian 13: ruby, bundler), without a network.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
gem_of() { # name version platform
    mkdir -p "$1/lib" && echo "# empty" >"$1/lib/$1.rb"
    cat >"$1/$1.gemspec" <<SPEC
Gem::Specification.new do |s|
  s.name = "$1"
  s.version = "$2"
  s.platform = "$3"
  s.summary = "A fixture of Dockgate's tests"
  s.authors = ["Dockgate"]
  s.license = "Apache-2.0"
  s.homepage = "https://example.org"
  s.files = ["lib/$1.rb"]
end
SPEC
    (cd "$1" && gem build --quiet "$1.gemspec" --output "$work/$1.gem" >/dev/null 2>&1)
}
gem_of net-http-fixture 1.2.0.rc1 ruby
gem_of native_fixture 0.10.3 x86_64-linux
gem install --local --quiet --no-document --ignore-dependencies --install-dir home net-http-fixture.gem native_fixture.gem
cp home/specifications/*.gemspec "$here/"
cp /usr/lib/ruby/gems/3.*/specifications/default/ostruct-*.gemspec "$here/"

mkdir app app/own && cd app
cat >own/own.gemspec <<SPEC
Gem::Specification.new { |s| s.name = "own"; s.version = "9.9"; s.summary = "own"; s.authors = ["Dockgate"]; s.files = [] }
SPEC
cat >Gemfile <<GEMFILE
source "https://rubygems.org"
gem "own", path: "own"
gem "webrick"
group(:development) { gem "rake" }
GEMFILE
bundle lock --local >/dev/null
cp Gemfile.lock "$here/Gemfile.lock"

cd "$work/net-http-fixture"
git init -q . && git add -A && git -c user.name=a -c user.email=a@example.org commit -qm a
mkdir -p "$work/git" "$here/git" && cd "$work/git"
cat >Gemfile <<GEMFILE
source "https://rubygems.org"
gem "net-http-fixture", git: "$work/net-http-fixture"
GEMFILE
BUNDLE_PATH="$work/bundle" bundle install --quiet --local
cp "$work"/bundle/ruby/*/bundler/gems/*/net-http-fixture.gemspec "$here/git/"
