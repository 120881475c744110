#!/bin/sh
# Takes the applications beside it out of Debian's packages, and has Mix and rebar3 write lockfiles (Debian 13: elixir, rebar3, python3,
# erlang-cowlib, elixir-makeup, erlang-ssh), without a network. What is locked is made up, but for the names.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cp /usr/lib/erlang/lib/cowlib-*/ebin/cowlib.app /usr/lib/erlang/lib/ssh-*/ebin/ssh.app "$here/"
cp /usr/lib/elixir/lib/makeup/ebin/makeup.app "$here/"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >mix.exs <<'EXS'
defmodule Own.MixProject do
  use Mix.Project
  def project, do: [app: :own, version: "0.1.0"]
end
EXS
cat >lock.exs <<'EXS'
sha = fn text -> :crypto.hash(:sha256, text) |> Base.encode16(case: :lower) end
hex = fn name, version, managers, deps, repo ->
  {:hex, name, version, sha.("inner #{name}"), managers, deps, repo, sha.("outer #{name}")}
end
dep = fn name, wants -> {name, wants, [hex: name, repo: "hexpm", optional: false]} end
plug = [dep.(:mime, "~> 1.0 or ~> 2.0"), dep.(:telemetry, "~> 0.4.3 or ~> 1.0")]
Mix.Dep.Lock.write(%{
  plug: hex.(:plug, "1.14.0", [:mix], plug, "hexpm"),
  mime: hex.(:mime, "2.0.6", [:mix], [], "hexpm"),
  telemetry: hex.(:telemetry, "1.3.0", [:rebar3], [], "hexpm"),
  uuid: hex.(:uuid_erl, "2.0.7", [:rebar3], [], "hexpm"),
  secrets: hex.(:secrets, "0.3.0-rc.1", [:mix], [], "hexpm:acme"),
  old: {:hex, :old, "0.1.0", sha.("old"), [:make]},
  forked: {:git, "https://example.org/forked.git", "0123456789abcdef0123456789abcdef01234567", [branch: "main"]}
})
EXS
mix run --no-start lock.exs >/dev/null
cp mix.lock "$here/"

python3 -m zipfile -e /usr/bin/rebar3 rebar3 2>/dev/null
erl -noinput -pa rebar3/*/ebin -eval '
    Locks = [{<<"cowlib">>, {pkg, <<"cowlib">>, <<"2.13.0">>, <<"5A">>, <<"5B">>}, 1},
             {<<"uuid">>, {pkg, <<"uuid_erl">>, <<"2.0.7">>, <<"6A">>, <<"6B">>}, 0},
             {<<"forked">>, {git, "https://example.org/forked.git", {ref, "0123456789abcdef"}}, 0}],
    ok = rebar_config:write_lock_file("rebar.lock", Locks), halt().'
cp rebar.lock "$here/"

erl -noinput -eval '
    [App] = filelib:wildcard("/usr/lib/erlang/lib/cowlib-*/ebin/cowlib.app"),
    {ok, Content} = file:read_file(App),
    {ok, _} = zip:create("cowlib-1.3.0.ez", [{"cowlib-1.3.0/ebin/cowlib.app", Content}]),
    ok = escript:create("own", [shebang, {comment, ""}, {emu_args, "-escript main own"},
                                {archive, [{"cowlib/ebin/cowlib.app", Content}], []}]), halt().'
cp cowlib-1.3.0.ez own "$here/"
