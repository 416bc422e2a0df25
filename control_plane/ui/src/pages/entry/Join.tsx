import { Button, PasswordInput, Stack, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { answer, api } from "@/api/client";
import { enter } from "@/app/queries";
import { Form } from "@/components/Form";
import { useFaults } from "@/components/faults";
import { ProblemNote } from "@/components/ProblemNote";
import { Entry } from "@/pages/entry/Entry";

export function Join() {
  const { token = "" } = useParams({ strict: false }) as { token?: string };
  const navigate = useNavigate();
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const join = useMutation({
    mutationFn: () => answer(api.POST("/api/v1/invitations/accept", { body: { token, name, password } })),
    onSuccess: (session) => {
      enter(session);
      void navigate({ to: "/", search: {}, replace: true });
    },
  });
  const faults = useFaults(join.error, { "/name": name, "/password": password });
  return (
    <Entry
      title="Join your organisation"
      lead="New here: choose a name and a password. If the invited address has an account already, give that account's password; its name stays."
    >
      <Form faults={faults} busy={join.isPending} onSubmit={() => join.mutate()}>
        <Stack gap="sm">
          <TextInput
            label="Your name"
            autoComplete="name"
            required
            autoFocus
            value={name}
            error={faults.at("/name")}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <PasswordInput
            label="Password"
            description="At least 12 characters"
            autoComplete="new-password"
            required
            value={password}
            error={faults.at("/password")}
            onChange={(event) => setPassword(event.currentTarget.value)}
          />
          <ProblemNote error={faults.rest} />
          <Button type="submit" fullWidth mt={4} loading={join.isPending}>
            Join
          </Button>
        </Stack>
      </Form>
    </Entry>
  );
}
