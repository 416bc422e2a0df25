import { Button, Code, PasswordInput, Stack, TextInput } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { answer, api } from "@/api/client";
import { enter } from "@/app/queries";
import { Form } from "@/components/Form";
import { useFaults } from "@/components/faults";
import { ProblemNote } from "@/components/ProblemNote";
import { Entry } from "@/pages/entry/Entry";

const BLANK = { code: "", name: "", email: "", password: "", organisation: "" };

export function FirstRun() {
  const navigate = useNavigate();
  const [fields, setFields] = useState(BLANK);
  const firstRun = useQuery({ queryKey: ["first-run"], queryFn: () => answer(api.GET("/api/v1/first-run")) });
  const redeem = useMutation({
    mutationFn: () => answer(api.POST("/api/v1/first-run", { body: { ...fields, code: fields.code.trim() } })),
    onSuccess: (session) => {
      enter(session);
      void navigate({ to: "/", search: {} });
    },
  });
  const faults = useFaults(
    redeem.error,
    Object.fromEntries(Object.entries(fields).map(([name, value]) => [`/${name}`, value])),
  );
  if (firstRun.data?.needed === false) {
    return (
      <Entry
        title="There is an owner already"
        lead="The first owner was made before. Log in, or ask an administrator for an invitation."
      >
        <Button component={Link} to="/login">
          Log in
        </Button>
      </Entry>
    );
  }
  const field = (name: keyof typeof BLANK) => ({
    name,
    required: true,
    value: fields[name],
    error: faults.at(`/${name}`),
    onChange: (event: { currentTarget: { value: string } }) => {
      const { value } = event.currentTarget;
      setFields((before) => ({ ...before, [name]: value }));
    },
  });
  return (
    <Entry
      title="Make the first owner"
      lead={
        <>
          The start of the control plane printed a one-use code. It also stands in the file <Code>first-run-code</Code>{" "}
          of its state folder.
        </>
      }
    >
      <Form faults={faults} busy={redeem.isPending} onSubmit={() => redeem.mutate()}>
        <Stack gap="sm">
          <PasswordInput label="One-use code" autoComplete="off" autoFocus {...field("code")} />
          <TextInput
            label="Organisation"
            description="What your company or team is called"
            autoComplete="organization"
            {...field("organisation")}
          />
          <TextInput label="Your name" autoComplete="name" {...field("name")} />
          <TextInput label="E-mail address" type="email" autoComplete="username" {...field("email")} />
          <PasswordInput
            label="Password"
            description="At least 12 characters"
            autoComplete="new-password"
            {...field("password")}
          />
          <ProblemNote error={faults.rest ?? firstRun.error} />
          <Button type="submit" fullWidth mt={4} loading={redeem.isPending}>
            Make the owner and log in
          </Button>
        </Stack>
      </Form>
    </Entry>
  );
}
