import { Button } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { EmptyState } from "@/components/EmptyState";
import { Page } from "@/components/Page";
import { ProblemNote } from "@/components/ProblemNote";

/** A page that could not be shown. The rest of the panel still works. */
export function Trouble({ error, reset }: { error: unknown; reset?: () => void }) {
  return (
    <Page title="This page cannot be shown">
      <ProblemNote error={error} retry={() => (reset ? reset() : location.reload())} />
    </Page>
  );
}

export function NotFound() {
  return (
    <Page title="No such page">
      <EmptyState
        title="Nothing is at this address"
        acts={
          <Button component={Link} to="/" variant="default">
            Go home
          </Button>
        }
      >
        It may have been renamed or deleted, or it belongs to another workspace.
      </EmptyState>
    </Page>
  );
}
