# Writes hex.txt by Elixir's own Version: `elixir make-hex.exs > hex.txt`
fixed =
  ~w(1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0 1.0.0+build
     1.0.0+other.5 0.0.0-0 0.0.0 0.3.0-pre.1 0.3.0 0.10.0 0.9.9 1.0.0-- 1.0.0-a-b 1.0.0-1.a 1.0.0-a.1 1.0.0-A 1.0.0-a
     1.0.0-10 1.0.0-9 1.0.0-9a 1.0.0-00a 99999999999999999999.0.0 100000000000000000000.0.0 1.0 1 1.0.0.0 01.0.0 1.02.3
     1.0.0- 1.0.0+ 1.0.0-a..b 1.0.0-00 1.0.0-01 1.0.0-a_b 1.0.0+a_b 1.0.0-a+b+c 1.0.0-é x.1.2 1.x.0 1.0.0beta v1.0.0)

:rand.seed(:exsss, 20_261_126)
pick = fn list -> Enum.random(list) end

some = fn ->
  numbers = Enum.map_join(1..3, ".", fn _ -> pick.(~w(0 0 1 1 2 9 10 10 01 x)) end)
  pre = pick.(["", "", "-alpha", "-beta.2", "-beta.10", "-1", "-1.a", "-a.1", "-rc.01", "-A.b", "-2.gat.1", "-rc1", "-rc.2"])
  numbers <> pre <> pick.(["", "", "", "+1", "+a.b", "+"])
end

{good, bad} = Enum.split_with(fixed ++ for(_ <- 1..500, do: some.()), &match?({:ok, _}, Version.parse(&1)))

ordered =
  for [a, b] <- Enum.chunk_every(good, 2, 1, :discard) do
    case Version.compare(a, b) do
      :lt -> "#{a} < #{b}"
      :eq -> "#{a} = #{b}"
      :gt -> "#{b} < #{a}"
    end
  end

IO.puts("# Order of Hex packages' versions: `A < B`, `A = B`, or `A !` for what is none.")
IO.puts("# Made by make-hex.exs with Elixir #{System.version()}.")
Enum.map(bad, &"#{&1} !") |> Kernel.++(ordered) |> Enum.uniq() |> Enum.each(&IO.puts/1)
