package store_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// TestVerifyFindsDamage spoils a sound database in one way at a time.
func TestVerifyFindsDamage(t *testing.T) {
	const nobody = "01990000-0000-7000-8000-000000000000"
	damages := []struct {
		check, damage string
		sqlite        bool // only there
	}{
		{check: "members point to users and groups of one connection", damage: `UPDATE members SET user_id = '` + nobody + `' WHERE user_id = (SELECT id FROM users WHERE user_name = 'ann')`},
		{check: "members point to users and groups of one connection", damage: `UPDATE members SET group_id = '` + nobody + `'`},
		{check: "members point to users and groups of one connection", damage: `UPDATE groups SET connection_id = '` + nobody + `'`},
		{check: "users belong to a connection", damage: `UPDATE users SET connection_id = '` + nobody + `' WHERE user_name = 'ann'`},
		{check: "groups belong to a connection", damage: `UPDATE groups SET connection_id = '` + nobody + `'`},
		{check: "every user was created in the log", damage: `DELETE FROM changes WHERE action = 'user.created' AND subject_name = 'ann'`},
		{check: "every group was created in the log", damage: `DELETE FROM changes WHERE action = 'group.created'`},
		{check: "every user created in the log is here or was deleted in the log", damage: `DELETE FROM changes WHERE action = 'user.deleted'`},
		{check: "every group created in the log is here or was deleted in the log", damage: `DELETE FROM changes WHERE action = 'group.deleted'`},
		{check: "a user's versions are all kept", damage: `DELETE FROM users_past`},
		{check: "a user's versions are all kept", damage: `UPDATE users SET version = 7 WHERE user_name = 'ann'`},
		{check: "the past ends after it began", damage: `UPDATE users_past SET valid_until = valid_from - 1`},
		{check: "the past ends after it began", damage: `UPDATE groups_past SET valid_until = valid_from - 1`},
		{check: "the past ends after it began", damage: `UPDATE members_past SET until = since - 1`},
		{check: "memberships began with a change in the log", damage: `UPDATE members SET change_id = '` + nobody + `'`},
		{check: "memberships ended with a change in the log", damage: `UPDATE members_past SET end_change_id = '` + nobody + `'`},
		{check: "a group in the middle of a change is in the middle of one that will be finished", damage: `UPDATE groups SET unfinished = '` + nobody + `'`},
		{check: "a group in the middle of a change is in the middle of one that will be finished", damage: `INSERT INTO unfinished
			SELECT tenant_id, id, connection_id, id, FALSE, '', '', '' FROM groups`},
		{check: "e-mail keys belong to a user of the connection", damage: `UPDATE user_emails SET user_id = '` + nobody + `' WHERE value_key LIKE 'ann%'`},
		{check: "people are found by the words of their names, and by no others", damage: `DELETE FROM user_words WHERE word = 'smit'`},
		{check: "people are found by the words of their names, and by no others", damage: `UPDATE user_words SET word = 'eve' WHERE word = 'smit'`},
		{check: "people are found by the words of their names, and by no others", damage: `UPDATE user_words SET user_id = '` + nobody + `' WHERE word = 'smit'`},
		{check: "columns agree with the document", damage: `UPDATE users SET user_name = 'eve' WHERE user_name = 'ann'`},
		{check: "columns agree with the document", damage: `UPDATE users SET user_name_key = 'eve' WHERE user_name = 'ann'`},
		{check: "columns agree with the document", damage: `UPDATE users SET external_id = 'eve' WHERE user_name = 'ann'`},
		{check: "columns agree with the document", damage: `UPDATE users SET active = NOT active WHERE user_name = 'ann'`},
		{check: "columns agree with the document", damage: `UPDATE users SET doc = '{' WHERE user_name = 'ann'`},
		{check: "every tenant has a policy", damage: `DELETE FROM policies`},
		{check: "policy has the revision of a change in the log", damage: `UPDATE policies SET revision = '` + nobody + `'`},
		{check: "policy is no older than what it consists of", damage: `UPDATE policies SET changed_at = 1`},
		{check: "policy can be read", damage: `UPDATE sites SET parent_id = id`},
		{check: "grants are for people and groups that are or were here", damage: `UPDATE grants SET user_id = '` + nobody + `' WHERE user_id IS NOT NULL`},
		{check: "grants are for people and groups that are or were here", damage: `UPDATE grants SET group_id = '` + nobody + `' WHERE group_id IS NOT NULL`},
		{check: "grants are for known products, roles and sites", damage: `UPDATE grants SET product = 'x'`},
		{check: "grants are for known products, roles and sites", damage: `UPDATE grants SET role = 'x'`},
		{check: "grants are for known products, roles and sites", damage: `UPDATE grants SET scope = '{"sites":{"site":{"sites":["x"]}}}'`},
		{check: "what we say of people is of people that are or were here", damage: `UPDATE people SET user_id = '` + nobody + `'`},
		{check: "policy began with a change in the log", damage: `UPDATE grants SET change_id = '` + nobody + `'`},
		{check: "policy began with a change in the log", damage: `UPDATE people SET change_id = '` + nobody + `'`},
		{check: "policy ended with a change in the log", damage: `UPDATE sites_past SET end_change_id = '` + nobody + `'`},
		{check: "policy ended with a change in the log", damage: `UPDATE people_past SET end_change_id = '` + nobody + `'`},
		{check: "the past ends after it began", damage: `UPDATE grants_past SET until = since - 1`},
		{check: "the past ends after it began", damage: `UPDATE people_past SET until = since - 1`},
		{check: "reviews are decided as a whole", damage: `UPDATE review_people SET decision = ''`},
		{check: "file", sqlite: true, damage: `PRAGMA writable_schema = 1; DELETE FROM sqlite_master WHERE name = 'changes_by_subject'; PRAGMA schema_version = 999`},
	}
	onBoth(t, func(t *testing.T, url string) {
		s := open(t, url, store.Options{})
		sound(t, s)
		clean(t, s)
		db := raw(t, url)
		unguard(t, db, url)
		if !isSQLite(url) { // where a raw connection doesn't check foreign keys
			for _, drop := range column(t, db, `SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname)
				FROM pg_constraint WHERE contype = 'f'`) {
				mustExec(t, db, drop)
			}
		}
		for _, table := range spoilt {
			mustExec(t, db, `CREATE TABLE sound_`+table+` AS SELECT * FROM `+table)
		}
		for _, c := range damages {
			if c.sqlite && !isSQLite(url) {
				continue
			}
			for _, table := range spoilt {
				mustExec(t, db, `DELETE FROM `+table, `INSERT INTO `+table+` SELECT * FROM sound_`+table)
			}
			clean(t, s)
			mustExec(t, db, c.damage)
			findings, err := s.Verify(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(findings, func(f store.Finding) bool { return f.Check == c.check && f.Detail != "" }) {
				t.Errorf("%s: got %v, want it found by %q", c.damage, findings, c.check)
			}
		}
	})
}

// spoilt are the tables that damages touch.
var spoilt = []string{"policies", "sites", "sites_past", "grants", "grants_past", "people", "people_past",
	"users", "users_past", "user_emails", "user_words", "groups", "groups_past", "members", "members_past", "changes", "review_people", "unfinished"}

// sound fills a database with something of every kind.
func sound(t *testing.T, s *store.Store) {
	t.Helper()
	ctx := t.Context()
	p := acme(t, s)
	p.write(t, func(tx *store.Tx) error {
		var ids []store.UserID
		var members []store.MemberID
		for _, name := range []string{"ann", "bob", "leaver"} {
			u := person(name, true)
			if name == "bob" {
				u.DisplayName = "Bob Smit"
			}
			u, err := tx.CreateUser(ctx, p.ref, u)
			if err != nil {
				return err
			}
			ids = append(ids, u.ID)
			members = append(members, store.MemberID(u.ID))
		}
		_, err := tx.UpdateUser(ctx, p.ref, ids[0], func(store.User) (store.User, error) { return person("ann", false), nil })
		if err != nil {
			return err
		}
		crew, _, err := tx.CreateGroup(ctx, p.ref, team("crew"), members)
		if err != nil {
			return err
		}
		if err := soundPolicy(ctx, tx, ids[1], crew.ID); err != nil {
			return err
		}
		gone, _, err := tx.CreateGroup(ctx, p.ref, team("gone"), members)
		if err != nil {
			return err
		}
		if err := tx.DeleteGroup(ctx, p.ref, gone.ID); err != nil {
			return err
		}
		if err := soundReview(ctx, tx, ids[1]); err != nil {
			return err
		}
		return tx.DeleteUser(ctx, p.ref, ids[2])
	})
}

// soundReview makes a review that is finished.
func soundReview(ctx context.Context, tx *store.Tx, user store.UserID) error {
	v, err := tx.OpenReview(ctx, store.Review{Name: "Wiki", ReviewScope: store.ReviewScope{Product: "wiki"}, Reviewer: user, DueAt: store.At(time.Now().Add(time.Hour))},
		[]store.ReviewPerson{{UserID: user, Named: store.Named{Name: "bob"}}})
	if err != nil {
		return err
	}
	return tx.FinishReview(ctx, store.ReviewDecisions{Review: v.ID, People: []store.ReviewDecision{{User: user, Decided: store.DecidedKeep}}})
}

// soundPolicy makes something of every kind, and what it was before.
func soundPolicy(ctx context.Context, tx *store.Tx, user store.UserID, group store.GroupID) error {
	if err := tx.SetDimension(ctx, access.Dimension{ID: "site"}); err != nil {
		return err
	}
	sites, err := tx.AddSites(ctx, access.Site{Dimension: "site", Key: "eu"})
	if err != nil {
		return err
	}
	if _, err := tx.ChangeSite(ctx, sites[0].ID, func(s access.Site) access.Site { s.Name = "Europe"; return s }); err != nil {
		return err
	}
	err = tx.SetProduct(ctx, access.Product{ID: "wiki", Permissions: []access.Permission{{ID: "pages"}}, Dimensions: []access.DimensionID{"site"},
		Roles: []access.Role{{ID: "writer", Permissions: map[access.PermissionID]access.Level{"pages": access.LevelAllow}}}})
	if err != nil {
		return err
	}
	writer := access.Grant{Effect: access.Allow, Product: "wiki", Role: "writer", Subject: access.Grantee{User: access.UserID(user)},
		Scope: access.Scope{Sites: map[access.DimensionID]access.Selection{"site": {Sites: []access.SiteID{sites[0].ID}}}}}
	mapping := writer
	mapping.Subject = access.Grantee{Group: access.GroupID(group)}
	grants, err := tx.AddGrants(ctx, writer, mapping, writer)
	if err != nil {
		return err
	}
	if err := tx.EndGrants(ctx, grants[2].ID); err != nil {
		return err
	}
	for _, kind := range []access.Kind{access.KindGuest, access.KindClient} {
		if _, err := tx.ChangePerson(ctx, user, func(p store.Person) store.Person { p.Kind = kind; return p }); err != nil {
			return err
		}
	}
	return nil
}
