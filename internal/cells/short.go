package cells

// Short keeps what a user gave on one line of an error.
func Short(s string) string {
	const most = 80
	if len(s) > most {
		return Printable(s[:most]) + "..."
	}
	return Printable(s)
}

// ShortLine keeps a long text to what a person reads in an error. Its end says what was wrong,
// where a long name stands before that.
func ShortLine(s string) string {
	const most, end = 400, 100
	if runes := []rune(s); len(runes) > most {
		return Printable(string(runes[:most-end])) + "…" + Printable(string(runes[len(runes)-end:]))
	}
	return Printable(s)
}

// OrDash gives what stands in a table for s: a dash for nothing.
func OrDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
