package validation

import (
	"regexp"
)

// Blob tells whether a text is base64.
func Blob(typed string) bool {
	base64Regex := regexp.MustCompile(`^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$`)
	ok := base64Regex.MatchString(typed)
	return ok
}
