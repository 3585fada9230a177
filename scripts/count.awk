# Counts a test run from go test's JSON lines, and fails if a test failed or
# none ran. A test and each of its subtests count one; so does a package that
# failed without a failed test: it didn't build, or it ended early. Figures that
# tests log, such as "tenant_matrix = 0 of 921", are repeated at the end.
/"Action":"output"/ && match($0, /_test[.]go:[0-9]+: [a-z0-9]+(_[a-z0-9]+)+ (= )?[0-9]+ of [0-9][^"\\]*/) {
	figure = substr($0, RSTART, RLENGTH)
	sub(/^_test[.]go:[0-9]+: /, "", figure)
	if (match($0, /"Test":"[^"]*\/(sqlite|postgres)"/)) {
		database = substr($0, RSTART, RLENGTH - 1)
		sub(/.*\//, "", database)
		figure = figure " on " database
	}
	figures[++known] = figure
}
!/^\{("Time":"[^"]*",)?"Action":"(pass|fail)"/ { next }
{
	match($0, /"Package":"[^"]*"/)
	package = substr($0, RSTART, RLENGTH)
	bad = /"Action":"fail"/
}
/"Test":"/ { if (bad) { failed++; blamed[package] = 1 } else passed++; next }
bad && !(package in blamed) { failed++ }
END {
	for (i = 1; i <= known; i++) print figures[i]
	printf "%d passed, %d failed\n", passed, failed
	exit failed > 0 || passed == 0
}
