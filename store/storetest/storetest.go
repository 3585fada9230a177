// Package storetest is the contract of package store: what users of a store may
// rely on, the same on every database. The tests of store run it on each; its
// only neighbour is store itself.
//
//	func TestSQLite(t *testing.T) { storetest.Run(t, openSQLite) }
package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gatehouse/store"
)

// Run runs the contract. Each call of open gives a migrated, empty store, which
// is closed when its test ends.
func Run(t *testing.T, open func(t *testing.T) *store.Store) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s *store.Store)
	}{
		{"ErrorRollsBack", errorRollsBack},
		{"PanicRollsBack", panicRollsBack},
		{"FailedStatementDoomsTheWrite", failedStatementDoomsTheWrite},
		{"WriteRunsAgain", writeRunsAgain},
		{"WritesTogether", writesTogether},
		{"CancelledIsUnavailable", cancelledIsUnavailable},
		{"ManyWritersFewConnections", manyWriters},
		{"OneChangeForEachEffect", oneChangeForEachEffect},
		{"LongLogs", longLogs},
		{"DeletedOnCondition", deletedOnCondition},

		{"Snapshot", snapshot},

		{"Tenants", tenants},
		{"Connections", connections},
		{"RenamedConnections", renamedConnections},
		{"EndedConnections", endedConnections},
		{"SetupLinks", setupLinks},
		{"MassRemovals", massRemovals},
		{"TenantsNeverMeet", tenantsNeverMeet},
		{"SecretsAreMadeOnce", secretsAreMadeOnce},

		{"TokenOpensItsConnection", tokenOpensItsConnection},
		{"TwoLiveTokensAtMost", twoLiveTokensAtMost},
		{"RevokedAtOnce", revokedAtOnce},
		{"LastUse", lastUse},
		{"ProductKeys", productKeys},
		{"KeysAreNotInherited", keysAreNotInherited},
		{"Requests", requests},
		{"OAuth", oauth},

		{"UserRoundTrip", userRoundTrip},
		{"NamesAreTakenInAnyCase", namesAreTaken},
		{"UpdateUser", updateUser},
		{"DeletedUserIsGone", deletedUserIsGone},
		{"LongNames", longNames},
		{"MalformedIDs", malformedIDs},

		{"GroupRoundTrip", groupRoundTrip},
		{"MembersByDelta", membersByDelta},
		{"UnknownMembers", unknownMembers},
		{"NestedGroups", nestedGroups},
		{"FiltersOnMembersAndGroups", rowFilters},
		{"NestedAtOnce", nestedAtOnce},
		{"ReplacedByStrangers", replacedByStrangers},
		{"LargeGroup", largeGroup},
		{"LargeChangeBesideOthers", largeChangeBesideOthers},
		{"GroupsOfUser", groupsOfUser},
		{"Counts", counts},

		{"Search", search},
		{"SearchGroups", searchGroups},
		{"OddFiltersAreNoErrors", oddFilters},
		{"Paging", paging},
		{"Sorting", sorting},
		{"SortingGroups", sortingGroups},
		{"SortingLongTexts", sortingLongTexts},
		{"SortingAsGo", sortingAsGo},
		{"PagingThroughASortedList", sortedPaging},

		{"PolicyRoundTrip", policyRoundTrip},
		{"PolicyIsRefused", policyIsRefused},
		{"AnswersFollow", answersFollow},
		{"NeverTogether", neverTogether},
		{"Subjects", subjects},
		{"SubjectsByAnyName", subjectsByAnyName},
		{"Granted", granted},
		{"FactsAgree", factsAgree},
		{"MappingsSleep", mappingsSleep},
		{"NothingIsInherited", nothingIsInherited},
		{"PeopleList", peopleList},
		{"WordsFollowNames", wordsFollowNames},
		{"Rolls", rolls},
		{"LooseEnds", looseEnds},
		{"Concerned", concerned},
		{"Proposals", proposals},
		{"Records", records},
		{"MembershipRecords", membershipRecords},
		{"GroupList", groupList},
		{"ChangesTouching", changesTouching},
		{"ChangesInOrder", changesInOrder},
		{"Webhooks", webhooks},
		{"WebhooksAreNotInherited", webhooksAreNotInherited},
		{"Deliveries", deliveries},
		{"FollowsMembers", followsMembers},
		{"LastOwnerStays", lastOwnerStays},
		{"OwnersMove", ownersMove},
		{"OwnersLeaveAtOnce", ownersLeaveAtOnce},
		{"OwnersSwap", ownersSwap},

		{"Sessions", sessions},
		{"TakenAway", takenAway},
		{"LastOwnerIsSignedOut", lastOwnerIsSignedOut},
		{"SignInsRaceTheirEnd", signInsRaceTheirEnd},
		{"ManySessions", manySessions},

		{"LapsedSessions", lapsedSessions},
		{"Views", views},
		{"Drafts", drafts},

		{"Providers", providers},
		{"SignIns", signIns},
		{"FloodOfSignIns", floodOfSignIns},
		{"FromOneBrowser", fromOneBrowser},
		{"ATokenIsUsedOnce", aTokenIsUsedOnce},
		{"Identities", identities},
		{"CreatedOnSignIn", createdOnSignIn},
		{"Revocations", revocations},

		{"Invitations", invitations},
		{"InvitationsEnd", invitationsEnd},
		{"Mails", mails},
		{"Passkeys", passkeys},
		{"Entrances", entrances},

		{"Reviews", reviews},
		{"LastVisits", lastVisits},

		{"Baselines", baselines},
		{"CrowdOnOneGroup", crowdOnOneGroup},
		{"AskedTogether", askedTogether},
		{"DeletedWhileAdded", deletedWhileAdded},
		{"GroupsInAnyOrder", groupsInAnyOrder},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, open(t))
		})
	}
}

// place is a connection to write to, as an actor who may.
type place struct {
	*store.Store
	actor store.Actor
	conn  store.Connection
	ref   store.ConnectionRef
}

func newPlace(t *testing.T, s *store.Store, tenant, connection string) place {
	t.Helper()
	p := place{Store: s, actor: store.Actor{Kind: store.ActorSCIM, ID: "token-7", RequestID: "r-1"}}
	found, err := s.EnsureTenant(t.Context(), store.Actor{Kind: store.ActorSystem}, tenant)
	if err != nil {
		t.Fatal(err)
	}
	p.actor.Tenant = found.ID
	p.write(t, func(tx *store.Tx) error {
		p.conn, err = tx.CreateConnection(t.Context(), connection, store.IdPEntra)
		return err
	})
	p.ref = p.conn.Ref()
	return p
}

func acme(t *testing.T, s *store.Store) place {
	t.Helper()
	return newPlace(t, s, "acme", "entra")
}

func (p place) write(t *testing.T, f func(*store.Tx) error) {
	t.Helper()
	if err := p.Write(t.Context(), p.actor, f); err != nil {
		t.Fatal(err)
	}
}

// person is a user as the edge would make it.
func person(name string, attributes map[string]any) store.User {
	doc := map[string]any{"userName": name, "active": true}
	for k, v := range attributes {
		doc[k] = v
	}
	u := store.User{UserName: name, Active: doc["active"] == true, Doc: marshal(doc), Search: marshal(folded(doc, ""))}
	u.ExternalID, _ = doc["externalId"].(string)
	u.DisplayName, _ = doc["displayName"].(string)
	emails, _ := doc["emails"].([]any)
	for _, e := range emails {
		if value, ok := e.(map[string]any)["value"].(string); ok {
			u.Emails = append(u.Emails, value)
		}
	}
	return u
}

func team(name string, attributes map[string]any) store.Group {
	doc := map[string]any{"displayName": name}
	for k, v := range attributes {
		doc[k] = v
	}
	g := store.Group{DisplayName: name, Doc: marshal(doc), Search: marshal(folded(doc, ""))}
	g.ExternalID, _ = doc["externalId"].(string)
	return g
}

// folded is a document as filters look into it. In these tests externalId is
// the one attribute whose case counts.
func folded(v any, name string) any {
	switch v := v.(type) {
	case map[string]any:
		object := map[string]any{}
		for k, e := range v {
			object[strings.ToLower(k)] = folded(e, k)
		}
		return object
	case []any:
		list := []any{}
		for _, e := range v {
			list = append(list, folded(e, name))
		}
		return list
	case string:
		if name == "externalId" || name == "since" {
			return v
		}
		return store.Fold(v)
	}
	return v
}

func marshal(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

func (p place) addUser(t *testing.T, u store.User) store.User {
	t.Helper()
	p.write(t, func(tx *store.Tx) error {
		var err error
		u, err = tx.CreateUser(t.Context(), p.ref, u)
		return err
	})
	return u
}

func (p place) addPeople(t *testing.T, names ...string) []store.UserID {
	t.Helper()
	var ids []store.UserID
	p.write(t, func(tx *store.Tx) error {
		ids = nil
		for _, name := range names {
			u, err := tx.CreateUser(t.Context(), p.ref, person(name, nil))
			if err != nil {
				return err
			}
			ids = append(ids, u.ID)
		}
		return nil
	})
	return ids
}

func (p place) addGroup(t *testing.T, g store.Group, members ...store.UserID) store.Group {
	t.Helper()
	g, _, err := p.CreateGroup(t.Context(), p.actor, p.ref, g, memberIDs(members...))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// changeMembers applies a delta and gives the error of Write.
func (p place) changeMembers(t *testing.T, id store.GroupID, delta store.MemberDelta) (res store.MembersResult, err error) {
	_, res, err = p.UpdateGroup(t.Context(), p.actor, p.ref, id, false, func(g store.Group) (store.Group, store.MemberDelta, error) {
		return g, delta, nil
	})
	return res, err
}

func (p place) members(t *testing.T, id store.GroupID) []store.UserID {
	t.Helper()
	var ids []store.UserID
	err := p.EachMember(t.Context(), p.ref, []store.GroupID{id}, func(_ store.GroupID, u store.UserID) error {
		ids = append(ids, u)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func (p place) group(t *testing.T, id store.GroupID) store.Group {
	t.Helper()
	g, err := p.Group(t.Context(), p.ref, id)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// log gives the actions of the tenant's log, oldest first.
func (p place) log(t *testing.T) []string {
	t.Helper()
	changes, err := p.Changes(t.Context(), p.ref.Tenant, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, c := range slices.Backward(changes) {
		actions = append(actions, c.Action)
	}
	return actions
}

// clean fails the test when Verify finds something.
func clean(t *testing.T, s *store.Store) {
	t.Helper()
	findings, err := s.Verify(t.Context())
	if err != nil || len(findings) > 0 {
		t.Errorf("verify: got %v, %v, want nothing wrong", findings, err)
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

func sorted[T ~string](ids []T) []T { return slices.Sorted(slices.Values(ids)) }

func numbered(name string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s%04d", name, i)
	}
	return names
}

// memberIDs names members by the ids of users or of groups.
func memberIDs[ID ~string](ids ...ID) []store.MemberID {
	members := make([]store.MemberID, len(ids))
	for i, id := range ids {
		members[i] = store.MemberID(id)
	}
	return members
}
