// Writes go.txt with Go's own orders, modules' and toolchains':
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go run make-go.go > go.txt
//
// with Debian's golang-go and golang-golang-x-mod-dev.
package main

import (
	"fmt"
	"go/version"
	"math/rand"
	"sort"
	"strings"

	"golang.org/x/mod/semver"
)

const modules = `v0.0.0 v0.0.0-0 v1 v1.2 v1.2.0 v1.2.3 v01.2.3 v1.02.3 v1.2.3.4 v1.2.3- v1.2.3+ v1.2-a v1+a v1.2.3-a..b v1.2.3-a_b
v1.2.3-00 v1.2.3-01a v1.2.3-0 v1.2.3-alpha v1.2.3-alpha.1 v1.2.3-alpha.beta v1.2.3-beta.2 v1.2.3-beta.11 v1.2.3-rc.1 v1.2.3-rc1
v1.2.3+incompatible v2.0.0+incompatible v2.0.0 v1.2.3+dirty v1.2.3-- v1.2.3-a-b v1.2.3-1.a v1.2.3-a.1 v1.2.3-A
v0.0.0-20191109021931-daa7c04131f5 v0.0.0-20200109021931-aaa7c04131f5 v1.2.4-0.20191109021931-daa7c04131f5
v1.2.4-pre.0.20191109021931-daa7c04131f5 v1.2.4-pre v1.2.4 v18446744073709551616.0.0 v18446744073709551615.0.0
v10.0.0 v9.0.0 v1.10.0 v1.9.0 v v. v1. v1.2. vv1.2.3 v1.x.0 v1.2.3-é v-1.2.3`

const toolchains = `go1 go1.0 go1.4 go1.4.3 go1.9.2rc2 go1.20 go1.20.0 go1.20rc1 go1.20beta1 go1.21 go1.21rc1 go1.21rc10 go1.21rc2
go1.21.0 go1.21.1 go1.21.10 go1.21.9 go1.22 go1.22rc1 go1.22.0 go1.22.0rc1 go1.22.3 go1.22.3-company go1.9 go1.10 go1.021 go1.21rc01
go1.21rc go1.21.3.4 go1.21. go1. go01.21 go1.x go1.21-rc.1 go1.18.3-b7 go2 go2.0.0 go10.0.0`

func relate(sign int, a, b string) string {
	if sign > 0 {
		a, b, sign = b, a, -1
	}
	return fmt.Sprintf("%s %c %s", a, "<="[sign+1], b)
}

func main() {
	chance := rand.New(rand.NewSource(24))
	pick := func(from string) string { all := strings.Split(from, "|"); return all[chance.Intn(len(all))] }
	lines := map[string]bool{}
	given := strings.Fields(modules)
	for range 300 {
		given = append(given, "v"+pick("0|1|2|10|01|")+"."+pick("0|1|9|10")+"."+pick("0|3|12|x|03")+
			pick("|||-alpha|-beta.2|-beta.10|-1|-1.a|-a.1|-rc.01|-0.20191109021931-daa7c04131f5")+pick("||+incompatible|+a.b|+"))
	}
	order(lines, given, semver.IsValid, semver.Compare)
	order(lines, strings.Fields(toolchains), version.IsValid, version.Compare)
	sorted := []string{}
	for line := range lines {
		sorted = append(sorted, line)
	}
	sort.Strings(sorted)
	fmt.Println("# Order of Go's versions, modules' (golang.org/x/mod/semver) and toolchains' (go/version): `A < B`, `A = B`, or")
	fmt.Println("# `A !` for what is none. Made by make-go.go.")
	fmt.Println(strings.Join(sorted, "\n"))
}

// order relates each version with the three next to it in the order given.
func order(lines map[string]bool, given []string, valid func(string) bool, compare func(a, b string) int) {
	all := []string{}
	for _, one := range given {
		if valid(one) {
			all = append(all, one)
		} else {
			lines[one+" !"] = true
		}
	}
	for at, one := range all {
		for _, other := range all[at+1 : min(at+4, len(all))] {
			lines[relate(compare(one, other), one, other)] = true
		}
	}
}
