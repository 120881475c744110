-- Writes hackage.txt by Cabal's own versions: `runghc make-hackage.hs > hackage.txt`
import Data.List (nub)
import Distribution.Parsec (simpleParsec)
import Distribution.Version (Version)
import System.Info (compilerVersion)
import Data.Version (showVersion)

fixed :: [String]
fixed = words
    "0 1 1.0 1.0.0 1.0.0.0 1.0.1 1.0.0.1 1.10 1.9 1.9.9 2 0.0 0.0.0.1 3000.2.2.1 1.4.300.1 20240115 999999999 999999999.1 \
    \1.999999999.1 1000000000 1.1000000000 01 1.01 1.00 00 1. .1 1..2 . v1 1.x x 1_0 1,0 1+1 ~1 -1 1.0.0.0.0.0.1 65536.0 \
    \65535.1 65534.2 1.65535.0 1.65536.0 1.65534.9"

some :: Int -> [String]
some seed = go seed 400
  where
    go _ 0 = []
    go s n = let (s', v) = one s in v : go s' (n - 1 :: Int)
    next s = (s * 1103515245 + 12345) `mod` 2147483648
    pick s list = let s' = next s in (s', list !! ((s' `div` 65536) `mod` length list))
    one s = let (s', count) = pick s [1, 2, 2, 3, 3, 4, 5] in parts s' count
    parts s 1 = pick s numbers
    parts s n = let (s', a) = pick s numbers; (s'', b) = parts s' (n - 1 :: Int) in (s'', a ++ "." ++ b)
    numbers = words "0 0 0 1 1 1 2 3 9 10 11 99 100 01 65535 65536 999999999"

main :: IO ()
main = do
    let told = [(one, simpleParsec one :: Maybe Version) | one <- fixed ++ some 20261126]
        good = [(one, version) | (one, Just version) <- told]
        pair ((a, x), (b, y)) = case compare x y of
            LT -> a ++ " < " ++ b
            EQ -> a ++ " = " ++ b
            GT -> b ++ " < " ++ a
    putStrLn "# Order of Haskell packages' versions: `A < B`, `A = B`, or `A !` for what is none."
    putStrLn ("# Made by make-hackage.hs with the Cabal of GHC " ++ showVersion compilerVersion ++ ".")
    mapM_ putStrLn (nub ([one ++ " !" | (one, Nothing) <- told] ++ map pair (zip good (drop 1 good))))
