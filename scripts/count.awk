# Counts a test run from go test's JSON lines, and fails if a test failed or
# none ran. A test and each of its subtests count one; so does a package that
# failed without a failed test: it didn't build, or it ended early.
!/^\{("Time":"[^"]*",)?"Action":"(pass|fail)"/ { next }
{
	match($0, /"Package":"[^"]*"/)
	package = substr($0, RSTART, RLENGTH)
	bad = /"Action":"fail"/
}
/"Test":"/ { if (bad) { failed++; blamed[package] = 1 } else passed++; next }
bad && !(package in blamed) { failed++ }
END {
	printf "%d passed, %d failed\n", passed, failed
	exit failed > 0 || passed == 0
}
