package cells

import "strconv"

// Integer is what can be counted with.
type Integer interface {
	~int | ~int64 | ~uint32 | ~uint64
}

// Plural gives a number with what it counts: "1 load", "2 loads".
func Plural[N Integer](n N, word string) string {
	return strconv.FormatInt(int64(n), 10) + " " + Noun(n, word)
}

// Noun gives the word for so many, without the number.
func Noun[N Integer](n N, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}
