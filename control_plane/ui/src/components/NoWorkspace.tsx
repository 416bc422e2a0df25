import { Button } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { useRights } from "@/app/workspace";
import { EmptyState } from "@/components/EmptyState";
import { Page } from "@/components/Page";

/** In place of a page about a workspace, for whoever sees none. */
export function NoWorkspace({ title }: { title: string }) {
  const { admin } = useRights();
  return (
    <Page title={title}>
      {admin ? (
        <EmptyState
          title="No workspace yet"
          acts={
            <Button component={Link} to="/workspaces">
              Make a workspace
            </Button>
          }
        >
          Keys, configs and requests are in one.
        </EmptyState>
      ) : (
        <EmptyState title="You have no role in a workspace yet">
          Ask an administrator of your organisation to give you one. What is in it is here then.
        </EmptyState>
      )}
    </Page>
  );
}
