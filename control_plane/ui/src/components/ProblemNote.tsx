import { Alert, Button, Group, List, Text } from "@mantine/core";
import { IconAlertTriangle } from "@tabler/icons-react";
import { advice, asProblem } from "@/api/problem";
import { Copy } from "@/components/Copy";
import { spokenPlace } from "@/lib/faults";
import { sentence, spoken } from "@/lib/format";

/** What happened, what to do, and the id by which whoever runs the control plane finds it. */
export function ProblemNote({ error, retry }: { error: unknown; retry?: () => void }) {
  if (!error) return null;
  const problem = asProblem(error);
  const what = advice(problem);
  const several = problem.faults;
  const place = several.length > 1 ? "" : spokenPlace(problem.pointer ?? "");
  return (
    <Alert
      color="red"
      variant="light"
      icon={<IconAlertTriangle size={18} />}
      role="alert"
      title={several.length > 1 ? `${several.length} things are wrong` : sentence(problem.message)}
    >
      {several.length > 1 && (
        <List size="sm">
          {several.map((fault) => (
            <List.Item key={fault.pointer + fault.message}>
              <span className="mono">{spokenPlace(fault.pointer)}</span> {fault.message}
            </List.Item>
          ))}
        </List>
      )}
      {what && <Text size="sm">{what}</Text>}
      <Group gap="md" mt={6}>
        <Text size="xs" c="dimmed">
          {place ? `at ${place} · ` : ""}
          {spoken(problem.code)}
          {problem.status ? ` · ${problem.status}` : ""}
        </Text>
        {problem.requestId && (
          <Group gap={4}>
            <Text size="xs" c="dimmed">
              request <span className="mono">{problem.requestId}</span>
            </Text>
            <Copy text={problem.requestId} label="Copy request id" />
          </Group>
        )}
        {retry && (problem.status === 0 || problem.status === 429 || problem.status >= 500) && (
          <Button size="compact-xs" variant="default" onClick={retry}>
            Try again
          </Button>
        )}
      </Group>
    </Alert>
  );
}
