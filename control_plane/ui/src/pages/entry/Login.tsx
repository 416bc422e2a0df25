import { Button, PasswordInput, Stack, TextInput } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { answer, api } from "@/api/client";
import { enter } from "@/app/queries";
import { router } from "@/app/router";
import { useAddress } from "@/app/search";
import { Form } from "@/components/Form";
import { useFaults } from "@/components/faults";
import { ProblemNote } from "@/components/ProblemNote";
import { Entry } from "@/pages/entry/Entry";

export function Login() {
  const [search] = useAddress();
  const navigate = useNavigate();
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const firstRun = useQuery({ queryKey: ["first-run"], queryFn: () => answer(api.GET("/api/v1/first-run")) });
  const needed = firstRun.data?.needed === true;
  useEffect(() => {
    if (needed) void navigate({ to: "/first-run", search: {}, replace: true });
  }, [needed, navigate]);
  const login = useMutation({
    mutationFn: () => answer(api.POST("/api/v1/login", { body: { email, password } })),
    onSuccess: (session) => {
      enter(session);
      // Only an address of ours: what begins with two slashes is another site's.
      const next = search.next && /^\/(?!\/|\\)/.test(search.next) ? search.next : "/";
      router.history.push(next);
    },
  });
  const faults = useFaults(login.error, { "/email": email, "/password": password });
  return (
    <Entry title="Log in" lead="With the e-mail address and password of your account.">
      <Form faults={faults} busy={login.isPending} onSubmit={() => login.mutate()}>
        <Stack gap="sm">
          <TextInput
            label="E-mail address"
            type="email"
            name="email"
            autoComplete="username"
            required
            data-autofocus
            autoFocus
            value={email}
            error={faults.at("/email")}
            onChange={(event) => setEmail(event.currentTarget.value)}
          />
          <PasswordInput
            label="Password"
            name="password"
            autoComplete="current-password"
            required
            value={password}
            error={faults.at("/password")}
            onChange={(event) => setPassword(event.currentTarget.value)}
          />
          <ProblemNote error={faults.rest ?? firstRun.error} />
          <Button type="submit" fullWidth mt={4} loading={login.isPending}>
            Log in
          </Button>
        </Stack>
      </Form>
    </Entry>
  );
}
