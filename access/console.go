package access

// ConsoleID is Gatehouse's own product. Rights in the console are grants like
// any other.
const ConsoleID ProductID = "console"

// The levels of the console.
const (
	LevelView   Level = "view"
	LevelChange Level = "change"
)

// The permissions of the console.
const (
	ConsolePeople      PermissionID = "people"      // who there is; invite, block, give a new way to sign in
	ConsoleAccess      PermissionID = "access"      // who may do what; grants and mappings
	ConsoleSites       PermissionID = "sites"       // dimensions and their trees
	ConsoleProducts    PermissionID = "products"    // products, their permissions and roles, their keys
	ConsoleConnections PermissionID = "connections" // identity providers and their tokens
	ConsoleSettings    PermissionID = "settings"
	ConsoleAudit       PermissionID = "audit" // the log
	ConsoleOwn         PermissionID = "own"   // one's own access and profile
)

// The roles of the console, from the most powerful to the least.
const (
	RoleOwner               RoleID = "owner"
	RoleAccessAdministrator RoleID = "access-administrator"
	RoleSiteAdministrator   RoleID = "site-administrator"
	RoleAuditor             RoleID = "auditor"
)

// Console is the console's product. It scopes by all dimensions given: those of
// the tenant, so that a console grant reaches over the sites of every product.
func Console(dimensions ...DimensionID) Product {
	return Product{
		ID: ConsoleID, Name: "Console",
		Levels: []Level{LevelView, LevelChange},
		Permissions: []Permission{
			{ID: ConsolePeople, Name: "People and groups"},
			{ID: ConsoleAccess, Name: "Who may do what"},
			{ID: ConsoleSites, Name: "Sites"},
			{ID: ConsoleProducts, Name: "Products and roles"},
			{ID: ConsoleConnections, Name: "Identity providers"},
			{ID: ConsoleSettings, Name: "Settings"},
			{ID: ConsoleAudit, Name: "Audit trail"},
			{ID: ConsoleOwn, Name: "Own access"},
		},
		Roles: []Role{
			{ID: RoleOwner, Name: "Owner", Personal: true, Permissions: map[PermissionID]Level{AllPermissions: LevelChange}},
			{ID: RoleAccessAdministrator, Name: "Access administrator", Permissions: map[PermissionID]Level{
				AllPermissions: LevelView, ConsolePeople: LevelChange, ConsoleAccess: LevelChange, ConsoleSites: LevelChange,
			}},
			{ID: RoleSiteAdministrator, Name: "Site administrator", Permissions: map[PermissionID]Level{
				ConsolePeople: LevelView, ConsoleAccess: LevelChange, ConsoleSites: LevelView, ConsoleOwn: LevelView,
			}},
			{ID: RoleAuditor, Name: "Auditor", Permissions: map[PermissionID]Level{AllPermissions: LevelView}},
		},
		Dimensions: dimensions,
		Rules:      Rules{Holders: []HolderRule{{Role: RoleOwner, Warn: 2, Refuse: 1}}},
	}
}

// ConsoleBaseline is the grant that every tenant starts with: everyone may see
// their own access.
func ConsoleBaseline(id GrantID) Grant {
	return Grant{
		ID: id, Subject: Grantee{Everyone: true}, Effect: Allow, Product: ConsoleID,
		Permission: ConsoleOwn, Level: LevelView, Scope: Scope{Everywhere: true}, Origin: OriginBaseline,
		Reason: "everyone may see their own access",
	}
}
