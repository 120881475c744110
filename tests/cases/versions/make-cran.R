# Writes cran.txt by R's own operators: `Rscript make-cran.R > cran.txt`
fixed <- strsplit("0.9-1 0.10 1.0 1.0.0 1.0-0 1.0.1 1.0-1 1.0.0.1 1.10 1.9 1-9 01.2 1.2 1.02 3.0.0.9000 3.0.0 3.0.1 7.3-65 7.3-7
  0.0 0.0-0 0.0.1 2024.01.15 2024.1.15 1.2147483647 2147483647.1 1.2147483648 1.99999999999999999999 1 0 1. .1 1.. 1..2 1--2 1.-2
  1.x x.1 1.0a 1_2 1+2 v1.0 1:2.0 -1.2 1.2- 1.0é é ５.1 1.０ -- .", "[ \n]+")[[1]]
set.seed(20261126, kind = "Mersenne-Twister", sample.kind = "Rejection")
part <- function() sample(c("0", "0", "1", "2", "9", "10", "00", "01", "65", "9000", "x", ""), 1, prob = c(rep(1, 10), .15, .15))
some <- function() {
    parts <- replicate(sample(5, 1), part())
    paste0(parts, c(sample(c(".", "-"), length(parts) - 1, replace = TRUE, prob = c(3, 1)), ""), collapse = "")
}
all <- c(fixed, replicate(400, some()))
read <- suppressWarnings(lapply(all, function(one) tryCatch(package_version(one), error = function(e) NULL)))
good <- vapply(read, function(one) !is.null(one) && !anyNA(unlist(one)), NA)
lines <- paste(all[!good & all != ""], "!")
versions <- all[good]
read <- read[good]
for (at in seq_along(versions)[-1]) {
    a <- versions[at - 1]
    b <- versions[at]
    lines <- c(lines, if (read[[at - 1]] == read[[at]]) paste(a, "=", b)
        else if (read[[at - 1]] < read[[at]]) paste(a, "<", b) else paste(b, "<", a))
}
cat("# Order of R packages' versions: `A < B`, `A = B`, or `A !` for what is none.\n")
cat("# Made by make-cran.R with R ", as.character(getRversion()), ".\n", sep = "")
writeLines(unique(lines), useBytes = TRUE)
