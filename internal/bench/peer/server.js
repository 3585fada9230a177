// A SCIM server as a product on Node.js would make it with scimmy, keeping
// everything in memory. It answers a userName filter by an index, since a scan
// would measure this file and not scimmy.
import crypto from "node:crypto";
import express from "express";
import SCIMMY from "scimmy";
import SCIMMYRouters from "scimmy-routers";

const notFound = id => new SCIMMY.Types.Error(404, null, `Resource ${id} not found`);

// declare keeps the resources of a type, and finds them by one unique attribute.
function declare(type, attribute) {
    const byID = new Map(), byName = new Map();
    SCIMMY.Resources.declare(type)
        .ingress((resource, data) => {
            const before = resource.id && byID.get(resource.id);
            if (resource.id && !before) throw notFound(resource.id);
            const name = data[attribute].toLowerCase();
            const holder = byName.get(name);
            if (holder && holder.id !== resource.id) throw new SCIMMY.Types.Error(409, "uniqueness", `${attribute} is taken`);
            const now = new Date();
            const after = {
                ...JSON.parse(JSON.stringify(data)), id: resource.id ?? crypto.randomUUID(),
                meta: {created: before?.meta.created ?? now, lastModified: now},
            };
            if (before) byName.delete(before[attribute].toLowerCase());
            byID.set(after.id, after);
            byName.set(name, after);
            return after;
        })
        .egress(resource => {
            if (resource.id) {
                const found = byID.get(resource.id);
                if (!found) throw notFound(resource.id);
                return found;
            }
            const [operator, value] = (resource.filter?.length === 1 && resource.filter[0][attribute]) || [];
            if (operator !== "eq") return [...byID.values()];
            const found = byName.get(value.toLowerCase());
            return found ? [found] : [];
        })
        .degress(resource => {
            const found = byID.get(resource.id);
            if (!found) throw notFound(resource.id);
            byID.delete(found.id);
            byName.delete(found[attribute].toLowerCase());
        });
}

declare(SCIMMY.Resources.User, "userName");
declare(SCIMMY.Resources.Group, "displayName");

const app = express();
app.use("/scim", new SCIMMYRouters({
    type: "bearer",
    handler: request => {
        if (request.header("Authorization") !== "Bearer peer") throw new Error("unauthorized");
        return "peer";
    },
}));
const server = app.listen(0, "127.0.0.1", () => {
    const {address, port} = server.address();
    console.error(JSON.stringify({msg: "listening", addr: `${address}:${port}`}));
});
