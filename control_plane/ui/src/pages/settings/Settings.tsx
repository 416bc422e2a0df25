import { Button, PasswordInput, SegmentedControl, Stack, TextInput, useMantineColorScheme } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { answer, api, type Schemas } from "@/api/client";
import { enter, queryClient, sessionQuery } from "@/app/queries";
import { useUnsaved } from "@/app/unsaved";
import { useRights, useSession } from "@/app/workspace";
import { Clash, from, isClash } from "@/components/Clash";
import { Facts, Section } from "@/components/Facts";
import { Form } from "@/components/Form";
import { useFaults } from "@/components/faults";
import { tell } from "@/components/notice";
import { Page } from "@/components/Page";
import { ProblemNote } from "@/components/ProblemNote";
import { Moment } from "@/components/When";

export function Settings() {
  const session = useSession();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  return (
    <Page title="Settings">
      <Stack gap={32} maw={560}>
        <Organisation />
        <Section title="Your account">
          <Facts
            facts={[
              ["Name", session?.account.name],
              ["E-mail address", session?.account.email],
              ["Role", session?.organisation.role],
              ["This session ends", <Moment key="ends" at={session?.expires_at} />],
            ]}
          />
        </Section>
        <Section title="Colours">
          <SegmentedControl
            w="fit-content"
            aria-label="Colours"
            value={colorScheme}
            onChange={(next) => setColorScheme(next as "auto" | "light" | "dark")}
            data={[
              { value: "auto", label: "As this computer" },
              { value: "light", label: "Light" },
              { value: "dark", label: "Dark" },
            ]}
          />
        </Section>
        <Password />
      </Stack>
    </Page>
  );
}

function Organisation() {
  const { owner } = useRights();
  const found = useQuery({ queryKey: ["organisation"], queryFn: () => answer(api.GET("/api/v1/organisation")) });
  const [edit, setEdit] = useState<{ name: string; began: Schemas["OrganisationView"] } | null>(null);
  const name = edit?.name ?? found.data?.name ?? "";
  const dirty = edit !== null && edit.name !== edit.began.name;
  useUnsaved(dirty);
  const rename = useMutation({
    mutationFn: (began: Schemas["OrganisationView"]) =>
      answer(api.PATCH("/api/v1/organisation", { params: { header: from(began) }, body: { name } })),
    onSuccess: async () => {
      await Promise.all([found.refetch(), queryClient.invalidateQueries({ queryKey: sessionQuery.queryKey })]);
      setEdit(null);
      tell("The organisation is renamed");
    },
  });
  const faults = useFaults(rename.error, { "/name": name });
  return (
    <Section title="Organisation">
      <Form faults={faults} busy={rename.isPending} onSubmit={() => edit && rename.mutate(edit.began)}>
        <Stack gap="sm">
          <TextInput
            label="Name"
            required
            maxLength={200}
            readOnly={!owner || !found.data}
            value={name}
            error={faults.at("/name")}
            onChange={(event) =>
              found.data && setEdit({ name: event.currentTarget.value, began: edit?.began ?? found.data })
            }
          />
          {found.data && (
            <Facts
              facts={[
                [
                  "Id",
                  <span key="id" className="mono">
                    {found.data.id}
                  </span>,
                ],
                ["Made", <Moment key="made" at={found.data.created_at} />],
              ]}
            />
          )}
          {!isClash(rename.error) && <ProblemNote error={faults.rest ?? found.error} />}
          {rename.variables && (
            <Clash
              error={rename.error}
              began={rename.variables}
              fields={["name"]}
              busy={rename.isPending}
              read={() => answer(api.GET("/api/v1/organisation"))}
              onKeep={(now) => rename.mutate(now)}
              onDiscard={() => {
                rename.reset();
                setEdit(null);
                void found.refetch();
              }}
            />
          )}
          {owner && (
            <Button type="submit" variant="default" w="fit-content" loading={rename.isPending} disabled={!dirty}>
              Rename
            </Button>
          )}
        </Stack>
      </Form>
    </Section>
  );
}

function Password() {
  const [now, setNow] = useState("");
  const [next, setNext] = useState("");
  useUnsaved(next !== ""); // The one they have is filled in by browsers.
  const change = useMutation({
    mutationFn: () =>
      answer(api.POST("/api/v1/account/password", { body: { current_password: now, new_password: next } })),
    onSuccess: (session) => {
      enter(session);
      setNow("");
      setNext("");
      tell("Your password is changed; your other sessions ended");
    },
  });
  const faults = useFaults(change.error, { "/current_password": now, "/new_password": next });
  return (
    <Section title="Password">
      <Form faults={faults} busy={change.isPending} onSubmit={() => change.mutate()}>
        <Stack gap="sm">
          <PasswordInput
            label="Password now"
            autoComplete="current-password"
            required
            value={now}
            error={faults.at("/current_password")}
            onChange={(event) => setNow(event.currentTarget.value)}
          />
          <PasswordInput
            label="New password"
            description="At least 12 characters. All your other sessions end."
            autoComplete="new-password"
            required
            value={next}
            error={faults.at("/new_password")}
            onChange={(event) => setNext(event.currentTarget.value)}
          />
          <ProblemNote error={faults.rest} />
          <Button type="submit" variant="default" w="fit-content" loading={change.isPending}>
            Change the password
          </Button>
        </Stack>
      </Form>
    </Section>
  );
}
