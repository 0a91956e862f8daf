// Package blobcheck tells whether a blob is base64, as Weaviate's own regular expression does, at the speed of a
// table.
package blobcheck

// alphabet marks the characters of standard base64, without the padding.
var alphabet = func() (marks [256]bool) {
	for _, char := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		marks[char] = true
	}
	return marks
}()

// Valid reports whether text is standard padded base64, not empty and without line breaks.
//
// encoding/base64 gives another verdict: it skips line breaks and takes an empty text, and strict decoding
// refuses the unused bits that the expression lets pass.
func Valid(text string) bool {
	if len(text) == 0 || len(text)%4 != 0 {
		return false
	}
	end := len(text)
	for padding := 0; padding < 2 && text[end-1] == '='; padding++ {
		end--
	}
	for i := range end {
		if !alphabet[text[i]] {
			return false
		}
	}
	return true
}
