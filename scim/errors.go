package scim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	scimerr "github.com/elimity-com/scim/errors"
)

// Details of errors are shown to the administrator of the identity provider as
// they are, so each names the attribute and says what to do about it.

// invalid is a 400 with one of the keywords of RFC 7644 §3.12.
func invalid(t scimerr.ScimType, format string, args ...any) error {
	return scimerr.ScimError{ScimType: t, Detail: fmt.Sprintf(format, args...), Status: http.StatusBadRequest}
}

// notFound is the 404 for a resource that does not exist, or not any more. It
// reads the same for another tenant's resource.
func notFound(kind, id string) error {
	return scimerr.ScimError{
		Detail: fmt.Sprintf("%s %s not found. It may have been deleted: match it again, or create it.", kind, shorten(id)),
		Status: http.StatusNotFound,
	}
}

// notDiscovered is the 404 for what nobody can create: what there is stands in the
// list at an endpoint.
func notDiscovered(kind, id, endpoint string) error {
	return scimerr.ScimError{
		Detail: fmt.Sprintf("There is no %s %s: read %s for those that there are.", kind, shorten(id), endpoint),
		Status: http.StatusNotFound,
	}
}

// uniqueness is the 409 for a name that somebody else already has.
func uniqueness(format string, args ...any) error {
	return scimerr.ScimError{
		ScimType: scimerr.ScimTypeUniqueness,
		Detail:   fmt.Sprintf(format, args...),
		Status:   http.StatusConflict,
	}
}

// maxShown is how many bytes of a client's value an error repeats.
const maxShown = 60

// shorten writes a client's value for an error: not at length, text as it is and
// everything else as JSON. What stands in an address or a header need not be UTF-8.
func shorten(value any) string {
	text, ok := value.(string)
	if !ok {
		data, err := json.Marshal(value)
		if err != nil {
			return fmt.Sprintf("%T", value)
		}
		text = string(data)
	}
	if len(text) <= maxShown {
		return text
	}
	return strings.ToValidUTF8(text[:maxShown], "") + "…"
}
