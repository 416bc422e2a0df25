import { Button, Select, Tabs, TextInput } from "@mantine/core";
import { IconPlus } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { answer, api, type Schemas } from "@/api/client";
import { lists, useChanged } from "@/app/nouns";
import { useRows } from "@/app/queries";
import { useAddress } from "@/app/search";
import { useSession, useWorkspace } from "@/app/workspace";
import { from, isClash } from "@/components/Clash";
import type { Column } from "@/components/DataTable";
import { ConfirmDialog, FormDialog, SecretDialog } from "@/components/Dialog";
import { EmptyState } from "@/components/EmptyState";
import { useFaults } from "@/components/faults";
import { ListView } from "@/components/ListView";
import { tell } from "@/components/notice";
import { Page } from "@/components/Page";
import { ProblemNote } from "@/components/ProblemNote";
import { State } from "@/components/State";
import { When } from "@/components/When";
import { onlyFields } from "@/lib/filter";
import { RoleClash } from "@/pages/people/RoleClash";

type Member = Schemas["MemberView"];
type Invitation = Schemas["InvitationView"];
type Role = Schemas["OrganisationRole"];

const ROLES = [
  { value: "owner", label: "Owner" },
  { value: "admin", label: "Admin" },
  { value: "member", label: "Member" },
];

export function Members() {
  const [search, change] = useAddress();
  const [inviting, setInviting] = useState(false);
  const [made, setMade] = useState<Schemas["InvitationCreated"] | null>(null);
  const tab = search.tab ?? "members";
  return (
    <Page
      filling
      title="Members"
      lead="Owners and administrators see everything in the organisation; members see the workspaces they have a role in."
      acts={
        <Button leftSection={<IconPlus size={16} />} onClick={() => setInviting(true)}>
          Invite somebody
        </Button>
      }
    >
      <Tabs
        value={tab}
        onChange={(next) =>
          change({ tab: next === "members" ? undefined : (next ?? undefined), filter: undefined, sort: undefined })
        }
      >
        <Tabs.List>
          <Tabs.Tab value="members">Members</Tabs.Tab>
          <Tabs.Tab value="invitations">Invitations</Tabs.Tab>
        </Tabs.List>
      </Tabs>
      {tab === "invitations" ? <Invitations /> : <MemberList />}
      {inviting && <Invite onClose={() => setInviting(false)} onMade={setMade} />}
      {made && (
        <SecretDialog
          title={`Invitation for ${made.email}`}
          secret={`${location.origin}${made.path}`}
          label="Copy link"
          note="Send them this link. It is shown this once, works once and for a week, and whoever has it can use it."
          onClose={() => setMade(null)}
        />
      )}
    </Page>
  );
}

function MemberList() {
  const [search] = useAddress();
  const session = useSession();
  const changed = useChanged();
  const [removing, setRemoving] = useState<Member | null>(null);
  const table = useRows(["members"], lists.members, {
    filter: onlyFields(search.filter ?? "", "email"),
    sort: search.sort,
  });
  const give = useMutation({
    mutationFn: ({ member, role }: { member: Member; role: Role }) =>
      answer(
        api.PATCH("/api/v1/members/{member}", {
          params: { path: { member: member.id }, header: from(member) },
          body: { role },
        }),
      ),
    onSuccess: async () => {
      await changed("members");
      tell("The role is changed; their sessions ended, so that they log in anew");
    },
    onError: (error) => isClash(error) && changed("members"),
  });
  const remove = useMutation({
    mutationFn: (member: string) => answer(api.DELETE("/api/v1/members/{member}", { params: { path: { member } } })),
    onSuccess: async () => {
      await changed("members");
      setRemoving(null);
    },
  });
  const columns: Column<Member>[] = [
    {
      id: "name",
      header: "Name",
      sort: "name",
      width: 160,
      grow: 200,
      cell: (one) => <span className="clip">{one.name}</span>,
    },
    {
      id: "email",
      header: "E-mail",
      sort: "email",
      width: 200,
      grow: 260,
      cell: (one) => <span className="clip">{one.email}</span>,
    },
    {
      id: "role",
      header: "Role",
      sort: "role",
      width: 150,
      cell: (one) =>
        one.id === session?.account.id ? (
          <span>{one.role} (you)</span>
        ) : (
          <Select
            size="xs"
            aria-label={`Role of ${one.name}`}
            data={ROLES}
            value={one.role}
            onChange={(role) => role && role !== one.role && give.mutate({ member: one, role: role as Role })}
          />
        ),
    },
    { id: "created_at", header: "Joined", sort: "created_at", width: 100, cell: (one) => <When at={one.created_at} /> },
    {
      id: "acts",
      header: "",
      width: 100,
      cell: (one) =>
        one.id !== session?.account.id && (
          <Button size="compact-xs" variant="default" onClick={() => setRemoving(one)}>
            Remove
          </Button>
        ),
    },
  ];
  return (
    <>
      <RoleClash
        give={give}
        read={(member) => answer(api.GET("/api/v1/members/{member}", { params: { path: { member } } }))}
      />
      <ListView
        label="Members"
        columns={columns}
        fields={[
          { name: "email", description: "part of the address" },
          { name: "name", description: "part of the name" },
          { name: "role", values: ["owner", "admin", "member"] },
        ]}
        placeholder="E-mail address, or role:admin"
        table={table}
        rowId={(one) => one.id}
        sort="-created_at"
        empty={<EmptyState title="No members" />}
      />
      {removing && (
        <ConfirmDialog
          title={`Remove ${removing.name}?`}
          act="Remove"
          typed={removing.email}
          busy={remove.isPending}
          error={remove.error}
          onConfirm={() => remove.mutate(removing.id)}
          onClose={() => setRemoving(null)}
        >
          Their sessions end now, and admin keys and open invitations they made end with their membership. API keys they
          made go on working.
        </ConfirmDialog>
      )}
    </>
  );
}

function Invitations() {
  const [search] = useAddress();
  const changed = useChanged();
  const { all } = useWorkspace();
  const table = useRows(["invitations"], lists.invitations, {
    filter: onlyFields(search.filter ?? "", "email"),
    sort: search.sort,
  });
  const revoke = useMutation({
    mutationFn: (invitation: string) =>
      answer(api.DELETE("/api/v1/invitations/{invitation}", { params: { path: { invitation } } })),
    onSuccess: async () => {
      await changed("invitations");
      tell("The invitation is taken back; its link is void");
    },
  });
  const names = new Map(all.map((one) => [one.id, one.name]));
  const columns: Column<Invitation>[] = [
    {
      id: "email",
      header: "E-mail",
      sort: "email",
      width: 200,
      grow: 260,
      cell: (one) => <span className="clip">{one.email}</span>,
    },
    { id: "state", header: "State", width: 110, cell: (one) => <State state={one.state} /> },
    { id: "role", header: "Role", width: 90, cell: (one) => one.role },
    {
      id: "workspaces",
      header: "Workspaces",
      width: 180,
      cell: (one) => (
        <span className="clip">
          {one.workspaces
            .map((place) => `${names.get(place.workspace) ?? place.workspace} (${place.role})`)
            .join(", ") || "—"}
        </span>
      ),
    },
    { id: "created_at", header: "Made", sort: "created_at", width: 100, cell: (one) => <When at={one.created_at} /> },
    { id: "expires_at", header: "Ends", sort: "expires_at", width: 100, cell: (one) => <When at={one.expires_at} /> },
    {
      id: "acts",
      header: "",
      width: 110,
      cell: (one) =>
        one.state === "open" && (
          <Button
            size="compact-xs"
            variant="default"
            loading={revoke.isPending && revoke.variables === one.id}
            onClick={() => revoke.mutate(one.id)}
          >
            Take back
          </Button>
        ),
    },
  ];
  return (
    <>
      <ProblemNote error={revoke.error} />
      <ListView
        label="Invitations"
        columns={columns}
        fields={[
          { name: "email", description: "part of the address" },
          { name: "state", values: ["open", "accepted", "expired"] },
          { name: "role", values: ["owner", "admin", "member"] },
        ]}
        placeholder="E-mail address, or state:open"
        table={table}
        rowId={(one) => one.id}
        sort="-created_at"
        empty={
          <EmptyState title="Nobody was invited yet">
            An invitation is a link that you send yourself; this control plane sends no mail.
          </EmptyState>
        }
      />
    </>
  );
}

function Invite({ onClose, onMade }: { onClose: () => void; onMade: (made: Schemas["InvitationCreated"]) => void }) {
  const changed = useChanged();
  const { all, workspace } = useWorkspace();
  const [email, setEmail] = useState("");
  const [role, setRole] = useState<Role>("member");
  const [place, setPlace] = useState<string>(workspace?.id ?? "");
  const [placeRole, setPlaceRole] = useState<Schemas["WorkspaceRole"]>("member");
  const invite = useMutation({
    mutationFn: () =>
      answer(
        api.POST("/api/v1/invitations", {
          body: { email, role, workspaces: place && role === "member" ? [{ workspace: place, role: placeRole }] : [] },
        }),
      ),
    onSuccess: async (made) => {
      await changed("invitations");
      onClose();
      onMade(made);
    },
  });
  const faults = useFaults(invite.error, {
    "/email": email,
    "/role": role,
    ...(role === "member" ? { "/workspaces/0/workspace": place } : {}),
    ...(role === "member" && place ? { "/workspaces/0/role": placeRole } : {}),
  });
  return (
    <FormDialog
      title="Invite somebody"
      submit="Make the link"
      busy={invite.isPending}
      faults={faults}
      onSubmit={() => invite.mutate()}
      onClose={onClose}
    >
      <TextInput
        label="E-mail address"
        type="email"
        required
        data-autofocus
        value={email}
        error={faults.at("/email")}
        onChange={(event) => setEmail(event.currentTarget.value)}
      />
      <Select
        label="Role in the organisation"
        data={ROLES}
        value={role}
        error={faults.at("/role")}
        onChange={(next) => setRole((next ?? "member") as Role)}
      />
      {role === "member" && (
        <>
          <Select
            label="Workspace"
            description="Where they begin"
            data={[{ value: "", label: "None yet" }, ...all.map((one) => ({ value: one.id, label: one.name }))]}
            value={place}
            error={faults.at("/workspaces/0/workspace")}
            onChange={(next) => setPlace(next ?? "")}
          />
          {place && (
            <Select
              label="Role there"
              data={[
                { value: "admin", label: "Admin: also its settings and members" },
                { value: "manager", label: "Manager: keys and configs" },
                { value: "member", label: "Member: looks" },
              ]}
              value={placeRole}
              error={faults.at("/workspaces/0/role")}
              onChange={(next) => setPlaceRole((next ?? "member") as Schemas["WorkspaceRole"])}
            />
          )}
        </>
      )}
    </FormDialog>
  );
}
