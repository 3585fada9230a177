package scim

import (
	"net/http"
	"strings"

	scimerr "github.com/elimity-com/scim/errors"
)

// Cause is a kind of failure, in words for the administrator of an identity
// provider: what happened, and which setting to change.
type Cause struct {
	// Code is stable: it stands in records and in scripts.
	Code  string `json:"code"`
	Title string `json:"title"`
	// Happened says what that means. Entra and Okta say what to do there; other
	// providers have something similar.
	Happened string `json:"happened"`
	Entra    string `json:"entra"`
	Okta     string `json:"okta"`
}

// The causes that aren't told by an answer.
const (
	causeNotRecorded    = "not-recorded"
	causeUnknownMembers = "unknown-members"
	causeIgnored        = "ignored-attribute"
	causeBulkFailed     = "bulk-partly"
	causeNoToken        = "no-token"
	causeWrongToken     = "wrong-token"
	causeDeadToken      = "dead-token"
	causeOtherToken     = "other-token"
	causeWrongClient    = "wrong-client"
	causeTokenRequest   = "token-request"
)

// rule says which answers have a cause. The zero values of status and scimType
// mean any, and detail is a part of the sentence.
type rule struct {
	status   int
	scimType scimerr.ScimType
	detail   string
	code     string
}

// rules are in order: the first one that fits counts.
var rules = []rule{
	{status: 400, detail: "is required", code: "required-missing"},
	{status: 400, detail: "None of the members sent", code: "no-member-known"},
	{status: 400, detail: "is there twice", code: "sent-twice"},
	{status: 400, detail: "cannot be searched", code: "filter-attribute"},
	{status: 400, scimType: scimerr.ScimTypeInvalidFilter, code: "filter"},
	{status: 400, scimType: scimerr.ScimTypeTooMany, code: "filter-too-costly"},
	{status: 400, scimType: scimTypeInvalidCursor, code: "cursor"},
	{status: 400, scimType: scimTypeExpiredCursor, code: "cursor"},
	{status: 400, scimType: scimTypeInvalidCount, code: "cursor"},
	{status: 400, scimType: scimerr.ScimTypeInvalidPath, code: "patch-path"},
	{status: 400, scimType: scimerr.ScimTypeNoTarget, code: "patch-no-target"},
	{status: 400, scimType: scimerr.ScimTypeMutability, code: "read-only"},
	{status: 400, scimType: scimerr.ScimTypeInvalidSyntax, code: "unreadable"},
	{status: 400, detail: "longer than", code: "too-long"},
	{status: 400, detail: "too long", code: "too-long"},
	{status: 400, detail: "has to be", code: "wrong-type"},
	{status: 400, scimType: scimerr.ScimTypeInvalidValue, code: "wrong-value"},
	{status: 400, code: "wrong-value"},
	{status: 401, code: causeWrongToken},
	{status: 403, code: "not-filterable"},
	{status: 404, detail: "no such endpoint", code: "wrong-address"},
	{status: 404, code: "not-found"},
	{status: 405, code: "wrong-method"},
	{status: 409, detail: "userName", code: "user-name-taken"},
	{status: 409, detail: "displayName", code: "group-name-taken"},
	{status: 409, detail: "last owner", code: "last-owner"},
	{status: 409, code: "conflict"},
	{status: 412, code: "changed-meanwhile"},
	{status: 413, code: "too-large"},
	{status: 415, code: "media-type"},
	{status: 429, code: "too-many-requests"},
	{status: 501, code: "not-offered"},
	{status: 503, code: "unavailable"},
}

// causeOf is the code of an answer's cause, "" when nothing went wrong.
func causeOf(status int, scimType, detail string) string {
	if status < http.StatusBadRequest {
		return ""
	}
	for _, r := range rules {
		if r.status == status && (r.scimType == "" || string(r.scimType) == scimType) && strings.Contains(detail, r.detail) {
			return r.code
		}
	}
	if status < http.StatusInternalServerError {
		return "refused"
	}
	return "our-mistake"
}

// CauseOf explains a code in English, to whoever uses the command line; one that
// nobody knows explains itself.
func CauseOf(code string) Cause { return explained("en", code) }

// CauseIn explains a code to a reader of the console in her language: nl is Dutch, and
// any other English.
func CauseIn(lang, code string) Cause {
	c := explained(lang, code)
	c.Happened, c.Entra, c.Okta = inConsole.Replace(c.Happened), inConsole.Replace(c.Entra), inConsole.Replace(c.Okta)
	return c
}

// inConsole puts where the console has something for what the command line says.
var inConsole = strings.NewReplacer(
	newToken, "Make a token here, in the settings of this connection under Tokens or in its set-up guide, and paste it",
	"'gatehouse token list' shows when", "The settings of this connection show under Tokens when",
	"both are printed together", "its settings show the URL and make a token",
	"Compare with 'gatehouse client show'. For a secret: 'gatehouse client secret add' makes another.",
	"Compare with the settings of this connection under OAuth instead of a token, where a client secret can be made, too.",
	"a token of 'gatehouse token add'", "a token, made in the settings of this connection under Tokens",
)

func explained(lang, code string) Cause {
	known, unknown := causes, Cause{Code: code, Title: code, Happened: "This version of Gatehouse has no words for it.", Entra: "See the answer of the example.", Okta: "See the answer of the example."}
	if lang == "nl" {
		known, unknown.Happened = dutchCauses, "Deze versie van Gatehouse heeft er geen woorden voor."
		unknown.Entra, unknown.Okta = "Zie het antwoord van het voorbeeld.", "Zie het antwoord van het voorbeeld."
	}
	for _, c := range known {
		if c.Code == code {
			return c
		}
	}
	return unknown
}

// Sentences that several causes share.
const (
	entraNothing = "Nothing: Entra tries again by itself."
	oktaAgain    = "Nothing, or retry the task under Dashboard > Tasks once it is over."
	newToken     = "Run 'gatehouse token add', paste the token it prints"
	entraToken   = newToken + " into Provisioning > Connectivity (Admin credentials) as Secret token, without the word Bearer, and choose Test connection."
	oktaToken    = newToken + " into Provisioning > Integration as the token, with the word Bearer in front if the field is a whole header, and choose Test API Credentials."
	entraMapping = "Provisioning > Attribute mapping: look at the attribute that the answer names"
	oktaMapping  = "Provisioning > To App > Attribute Mappings: look at the attribute that the answer names"
)

// causes are all that is explained.
var causes = []Cause{
	{causeNoToken, "No bearer token was sent",
		"The request had no Authorization header, more than one, or one of another kind than Bearer.",
		"Fill in Secret token: left empty, Entra sends a token of its own. A proxy in front must pass Authorization on.",
		"Choose HTTP Header as authentication mode. If the field is a whole header, the value begins with Bearer and a blank."},
	{causeWrongToken, "The token is not one of ours",
		"No token like that was ever made here. Part of it may be missing, or something stands around it.",
		entraToken, oktaToken},
	{causeDeadToken, "The token has expired or was revoked",
		"It worked once. 'gatehouse token list' shows when it ended.",
		entraToken + " If Entra is in quarantine, restart provisioning.", oktaToken},
	{causeOtherToken, "The token belongs to another connection",
		"The token is good, but for another SCIM URL than the one that was called.",
		"Paste URL and token of the same connection: both are printed together.", "Paste URL and token of the same connection: both are printed together."},
	{causeWrongClient, "The OAuth client could not prove itself",
		"The client id, or the secret or assertion that proves it, is wrong, expired, revoked or used before. The log has the cause under the request's id.",
		"Compare with 'gatehouse client show'. For a secret: 'gatehouse client secret add' makes another. For a federation: issuer, subject and audience have to be those that Entra shows.",
		"Okta asks for no access tokens in this way: use a token of 'gatehouse token add'."},
	{causeTokenRequest, "The request for an access token is malformed",
		"The answer says what is wrong with it.",
		"Check the token URL, and that the grant is client credentials.", "Okta asks for no access tokens in this way: use a token of 'gatehouse token add'."},
	{"user-name-taken", "The userName is taken",
		"Somebody of this connection has that userName, in other letters perhaps, and the provider didn't find that person before it created.",
		"Match by userName: Attribute mapping > userName > Match objects using this attribute, precedence 1. If it is so already, two people in Entra map to one userName: give one another.",
		"Sign On > Application username format has to be what is sent as userName. Import the existing people (Import > Import Now), or give one of the two another user name."},
	{"group-name-taken", "The group's name is taken",
		"A group of this connection has that displayName already.",
		"Match groups by displayName, and rename one of two groups that have one name.",
		"Push Groups: link the existing group rather than create it, or rename one of the two."},
	{"last-owner", "The last owner can't be taken away",
		"The provider deactivates or deletes the only owner of Gatehouse. She stays, signed out everywhere, since otherwise nobody could get in.",
		"Nothing there: name another owner in Gatehouse. Entra then tries again by itself.",
		"Name another owner in Gatehouse, then retry the task under Dashboard > Tasks."},
	{"conflict", "It is taken", "Something of that name is here already.", "Match it before creating it.", "Link it, or import it."},
	{"required-missing", "A required attribute is missing",
		"People need a userName and groups a displayName; the answer says which is missing.",
		"Attribute mapping: map userName to something that everybody has, such as userPrincipalName. Often it is people whose source attribute is empty: give the mapping a default, or scope them out.",
		"Sign On > Application username format: choose one that is never empty, such as Okta username."},
	{"wrong-type", "A value has the wrong type",
		"The mapping sends something of another kind than the attribute takes: text for a boolean, or the other way around. True and False as text are fine.",
		entraMapping + "; for active keep Switch([IsSoftDeleted], , \"False\", \"True\", \"True\", \"False\").",
		oktaMapping + ", and at its data type in the profile editor."},
	{"wrong-value", "A value is refused", "The answer names the attribute and says why.", entraMapping + ".", oktaMapping + "."},
	{"too-long", "A value is too long", "A name or text is longer than the directory takes.", entraMapping + "; shorten it with Left() or Mid().", oktaMapping + "; shorten it with substring()."},
	{"read-only", "A read-only attribute is mapped", "Gatehouse sets id, meta and groups itself.", entraMapping + ", and delete its mapping.", oktaMapping + ", and remove it."},
	{"sent-twice", "One attribute is sent twice", "Two mappings have the same target, perhaps in other letters.", entraMapping + ": delete one of the two.", oktaMapping + ": remove one of the two."},
	{"no-member-known", "None of the members is known",
		"A group was to be replaced by people of whom none is here; it would have been left empty, so it was left alone.",
		"Assign the people, too, and let them be created before the group: restart provisioning.",
		"Assign the people to the application before the group is pushed, by another group than the pushed one; then Push now."},
	{causeUnknownMembers, "Some members are not known",
		"The group was changed, but some of the people sent are not here (yet), or were deleted. They are not in the group.",
		"Members in nested groups or outside the scope are never created: assign them. For the others the next cycle may send them again; if not, restart provisioning.",
		"Assign them to the application by another group than the pushed one; then Push now."},
	{causeIgnored, "An attribute that is not kept was sent",
		"Everything else was done. The record names the attribute.",
		"Attribute mapping: delete the attribute's mapping, or mind its spelling. Attributes of your own need a URN of their own in front.",
		"Provisioning > To App > Attribute Mappings: remove the attribute, or mind its external name and namespace in the profile editor."},
	{causeBulkFailed, "Operations of a bulk request failed",
		"The others were done. The answer says of each operation what it was answered, and why.",
		"Nothing to set: Entra sends no bulk requests.", "Nothing to set: Okta sends no bulk requests."},
	{"filter-attribute", "The search names an unknown attribute",
		"The provider looks people or groups up by an attribute that isn't kept here.",
		"Attribute mapping: match by userName or externalId, groups by displayName.",
		"Provisioning > Integration > Unique identifier field for users: userName."},
	{"filter", "The search can't be read", "The filter isn't one of RFC 7644.", "Attribute mapping: match by userName or externalId.", "Provisioning > Integration > Unique identifier field for users: userName."},
	{"filter-too-costly", "The search is too costly", "It compares too many attributes that have no index.", "Match by userName or externalId.", "Provisioning > Integration > Unique identifier field for users: userName."},
	{"cursor", "A page can't be found", "The cursor is old or not of this list, or the count is no number.", "Nothing: Entra starts again.", "Nothing: start the import again."},
	{"patch-path", "A target attribute does not exist", "The path of an operation goes into something that no schema describes.", entraMapping + ": its target is misspelt.", oktaMapping + ": its external name is misspelt."},
	{"patch-no-target", "There is nothing to change there", "The operation picks a value that isn't there and doesn't say what a new one would be.", entraMapping + ": a target such as emails[type eq \"work\"].value works.", oktaMapping + "."},
	{"unreadable", "The body can't be read", "It is no JSON, or not the JSON that SCIM has.", "If it goes on, a proxy in front cuts or changes bodies.", "If it goes on, a proxy in front cuts or changes bodies."},
	{"not-found", "It does not exist (any more)", "The provider uses the id of somebody or something that was deleted here, or never was.",
		"Nothing: Entra looks it up again and creates it. If it stays, restart provisioning.",
		"Unassign and assign the person again; for a group, unlink and push it again."},
	{"wrong-address", "The address is wrong", "There is no such endpoint: the base address is misspelt, or has something behind /v2.",
		"Connectivity > Tenant URL: exactly the SCIM URL, ending in /v2.", "Provisioning > Integration > SCIM connector base URL: exactly the SCIM URL, ending in /v2."},
	{"wrong-method", "The method is not possible there", "The answer says which are.", "Check the Tenant URL: it ends in /v2.", "Check the SCIM connector base URL: it ends in /v2."},
	{"not-filterable", "This list can't be filtered", "Schemas, resource types and the configuration are read whole.", "Nothing to set.", "Nothing to set."},
	{"not-offered", "It is not offered", "See /ServiceProviderConfig for what is.", "Nothing to set: Entra doesn't use it.", "Nothing to set: Okta doesn't use it."},
	{"changed-meanwhile", "It was changed meanwhile", "The request asked for a version that is no longer the current one.", entraNothing, oktaAgain},
	{"too-large", "The request is too large", "The body is over the limit.", "Raise the setting max-body of Gatehouse, and of the proxy in front.", "Raise the setting max-body of Gatehouse, and of the proxy in front."},
	{"media-type", "The type of content is wrong", "Bodies are application/scim+json or application/json, in UTF-8, without compression.", "A proxy in front changes it: Entra sends the right one.", "A proxy in front changes it: Okta sends the right one."},
	{"too-many-requests", "Too many requests", "The connection sent more at a time than it may. Nothing is lost: providers try again.",
		"Nothing; if it goes on, raise the setting rate-limit of Gatehouse.", "Nothing; if it goes on, raise the setting rate-limit of Gatehouse."},
	{"unavailable", "The database was away", "Nothing was done, or it is not known whether it was. Sending it again is safe.", entraNothing, oktaAgain},
	{"refused", "It was refused", "The answer says why.", "See the answer of the example.", "See the answer of the example."},
	{"our-mistake", "Something went wrong in Gatehouse", "The log has the cause under the request's id. Please report it.", entraNothing, oktaAgain},
	{causeNotRecorded, "Requests were not recorded",
		"They were answered, but more came at a time than the recorder can take. The log has a line for each.", "Nothing to set.", "Nothing to set."},
}
