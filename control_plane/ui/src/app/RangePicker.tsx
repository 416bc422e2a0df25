import { Button, Group, Menu } from "@mantine/core";
import { IconCalendar, IconLock } from "@tabler/icons-react";
import { useAddress } from "@/app/search";
import { frozen, parseRange, RANGES, rangeLabel } from "@/lib/time";

/** The time range of the whole page. Relative ones move on with the clock; freezing keeps what is seen. */
export function RangePicker() {
  const [search, change] = useAddress();
  const range = parseRange(search.range, Date.now());
  return (
    <Group gap={4}>
      <Menu position="bottom-start">
        <Menu.Target>
          <Button variant="default" size="xs" leftSection={<IconCalendar size={14} />}>
            {rangeLabel(search.range)}
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          {RANGES.map((one) => (
            <Menu.Item key={one.value} onClick={() => change({ range: one.value }, true)}>
              {one.label}
            </Menu.Item>
          ))}
          <Menu.Divider />
          <Menu.Item
            leftSection={<IconLock size={14} />}
            disabled={!range.relative}
            onClick={() => change({ range: frozen(range) }, true)}
          >
            Freeze: these very moments
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
    </Group>
  );
}
