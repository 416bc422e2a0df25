import { ActionIcon, Menu, Select, Tooltip, useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { Spotlight, type SpotlightActionGroupData, spotlight } from "@mantine/spotlight";
import { IconHelp, IconLogout, IconMenu2, IconMoon, IconSearch, IconSun, IconUser } from "@tabler/icons-react";
import { useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useLocation, useNavigate } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { answer, api } from "@/api/client";
import { asProblem } from "@/api/problem";
import { KeySheet } from "@/app/KeySheet";
import { useKeySheet, useKeys } from "@/app/keys";
import { GROUPS, PAGES, TIMED } from "@/app/pages";
import { enter } from "@/app/queries";
import { RangePicker } from "@/app/RangePicker";
import styles from "@/app/Shell.module.css";
import { KEPT, type Search, useAddress } from "@/app/search";
import { UnsavedProvider, useMayLeave } from "@/app/unsaved";
import { useRights, useSession, useWorkspace } from "@/app/workspace";
import { NoWorkspace } from "@/components/NoWorkspace";
import { tell } from "@/components/notice";

export function Shell() {
  return (
    <UnsavedProvider>
      <Frame />
    </UnsavedProvider>
  );
}

function Frame() {
  const session = useSession();
  const { admin } = useRights();
  const { workspace, all, none, choose } = useWorkspace();
  const [search] = useAddress();
  const { pathname } = useLocation();
  const navigate = useNavigate();
  const sheet = useKeySheet();
  const { setColorScheme } = useMantineColorScheme();
  const scheme = useComputedColorScheme("light");
  const pages = PAGES.filter((page) => admin || !page.admin);
  const here = pages.find((page) => page.to !== "/" && (pathname === page.to || pathname.startsWith(`${page.to}/`)));
  const kept = Object.fromEntries(KEPT.map((name) => [name, search[name]])) as Search;
  const go = (to: string) => void navigate({ to, search: kept } as never);
  const leave = useLeave();
  const switchScheme = () => setColorScheme(scheme === "dark" ? "light" : "dark");
  const [railOpen, setRailOpen] = useState(false);
  useEffect(() => setRailOpen(false), [pathname]);
  const goKeys = pages.map((page) => ({ keys: `g ${page.key}`, label: page.label, run: () => go(page.to) }));
  useKeys("Go to", goKeys);
  useKeys("Everywhere", [
    { keys: "?", label: "Keys of this page", run: sheet.toggle },
    { keys: "t", label: "Dark or light", run: switchScheme },
  ]);
  const actions: SpotlightActionGroupData[] = [
    {
      group: "Go to",
      actions: pages.map((page) => ({
        id: page.to,
        label: page.label,
        description: `g ${page.key}`,
        leftSection: <page.icon size={17} stroke={1.6} />,
        onClick: () => go(page.to),
      })),
    },
    {
      group: "Workspace",
      actions: all.map((one) => ({
        id: `ws-${one.id}`,
        label: one.name,
        description: one.slug,
        onClick: () => choose(one.slug),
      })),
    },
    {
      group: "Do",
      actions: [
        { id: "scheme", label: scheme === "dark" ? "Light colours" : "Dark colours", onClick: switchScheme },
        { id: "keys", label: "Keys of this page", description: "?", onClick: sheet.toggle },
        { id: "leave", label: "Log out", onClick: leave },
      ],
    },
  ];
  return (
    <div className={styles.shell}>
      <a className={styles.skip} href="#content">
        Skip to content
      </a>
      {railOpen && <div className={styles.veil} onClick={() => setRailOpen(false)} aria-hidden />}
      <nav
        id="pages"
        className={styles.rail}
        aria-label="Pages"
        data-open={railOpen || undefined}
        onKeyDown={(event) => event.key === "Escape" && setRailOpen(false)}
      >
        <Link to="/" search={kept as never} className={styles.brand}>
          <Mark />
          Gatehouse
        </Link>
        {GROUPS.map((group) => (
          <div key={group} className={styles.group}>
            <div className={styles.groupName}>{group}</div>
            {pages
              .filter((page) => page.group === group)
              .map((page) => {
                const isHere = page.to === "/" ? pathname === "/" : page === here;
                return (
                  <Link
                    key={page.to}
                    to={page.to}
                    search={kept as never}
                    className={styles.link}
                    data-here={isHere || undefined}
                    aria-current={isHere ? "page" : undefined}
                  >
                    <page.icon size={17} stroke={1.6} />
                    {page.label}
                  </Link>
                );
              })}
          </div>
        ))}
      </nav>
      <header className={styles.top}>
        <ActionIcon
          className={styles.burger}
          variant="subtle"
          color="gray"
          aria-label="Pages"
          aria-expanded={railOpen}
          aria-controls="pages"
          onClick={() => setRailOpen(!railOpen)}
        >
          <IconMenu2 size={18} />
        </ActionIcon>
        {all.length > 0 && (
          <Select
            aria-label="Workspace"
            size="xs"
            className={styles.place}
            searchable={all.length > 8}
            data={all.map((one) => ({ value: one.slug, label: one.name }))}
            value={workspace?.slug ?? null}
            onChange={(slug) => slug && choose(slug)}
          />
        )}
        {TIMED.includes(pathname) && <RangePicker />}
        <span className={styles.spring} />
        <button type="button" className={styles.search} onClick={spotlight.open}>
          <IconSearch size={15} />
          <span>Go to or do…</span>
          <kbd>Ctrl K</kbd>
        </button>
        <Tooltip label="Keys of this page">
          <ActionIcon
            className={styles.keys}
            variant="subtle"
            color="gray"
            aria-label="Keys of this page"
            onClick={sheet.toggle}
          >
            <IconHelp size={18} />
          </ActionIcon>
        </Tooltip>
        <Tooltip label={scheme === "dark" ? "Light colours" : "Dark colours"}>
          <ActionIcon
            variant="subtle"
            color="gray"
            aria-label={scheme === "dark" ? "Light colours" : "Dark colours"}
            onClick={switchScheme}
          >
            {scheme === "dark" ? <IconSun size={18} /> : <IconMoon size={18} />}
          </ActionIcon>
        </Tooltip>
        <Menu position="bottom-end" width={240}>
          <Menu.Target>
            <ActionIcon variant="subtle" color="gray" aria-label="Your account">
              <IconUser size={18} />
            </ActionIcon>
          </Menu.Target>
          <Menu.Dropdown>
            <div className={styles.who}>
              <div className="clip">{session?.account.name}</div>
              <div className="dim clip">{session?.account.email}</div>
              <div className="dim clip">
                {session?.organisation.name} · {session?.organisation.role}
              </div>
            </div>
            <Menu.Divider />
            {session && session.organisations.length > 1 && <Organisations />}
            <Menu.Item onClick={() => go("/settings")}>Account & password</Menu.Item>
            <Menu.Item component="a" href="/api" target="_blank">
              API reference
            </Menu.Item>
            <Menu.Item leftSection={<IconLogout size={15} />} onClick={leave}>
              Log out
            </Menu.Item>
          </Menu.Dropdown>
        </Menu>
      </header>
      <main className={styles.main} id="content" tabIndex={-1}>
        {none && here?.inWorkspace ? <NoWorkspace title={here.label} /> : <Outlet />}
      </main>
      <Spotlight
        actions={actions}
        shortcut="mod+K"
        nothingFound="Nothing by that name"
        highlightQuery
        attributes={{ content: { "aria-label": "Palette" } }}
        scrollable
        maxHeight={420}
        searchProps={{
          placeholder: "Go to a page, switch workspace, do something",
          leftSection: <IconSearch size={17} />,
          "aria-label": "Palette",
        }}
      />
      {sheet.open && <KeySheet groups={sheet.groups} onClose={sheet.toggle} />}
    </div>
  );
}

function Organisations() {
  const session = useSession();
  const queries = useQueryClient();
  const mayLeave = useMayLeave();
  const move = async (organisation: string) => {
    if (!(await mayLeave())) return;
    try {
      enter(await answer(api.POST("/api/v1/session/organisation", { body: { organisation } })));
      await queries.invalidateQueries();
    } catch (error) {
      tell(asProblem(error).message);
    }
  };
  return (
    <>
      <Menu.Label>Organisation</Menu.Label>
      {session?.organisations.map((one) => (
        <Menu.Item key={one.id} disabled={one.id === session.organisation.id} onClick={() => void move(one.id)}>
          {one.name}
        </Menu.Item>
      ))}
      <Menu.Divider />
    </>
  );
}

function useLeave(): () => void {
  const navigate = useNavigate();
  const mayLeave = useMayLeave();
  return () => {
    void mayLeave().then(async (may) => {
      if (!may) return;
      await answer(api.POST("/api/v1/logout")).catch(() => undefined); // One that has ended already is left all the same.
      enter(null);
      await navigate({ to: "/login", search: {}, ignoreBlocker: true });
    });
  };
}

export function Mark({ size = 24 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="var(--gh-accent)" />
      <path
        d="M8 25V13a8 8 0 0 1 16 0v12"
        fill="none"
        stroke="var(--mantine-color-body)"
        strokeWidth="2.6"
        strokeLinecap="round"
      />
      <path
        d="M12.5 25v-9M16 25v-9M19.5 25v-9"
        stroke="var(--mantine-color-body)"
        strokeWidth="1.8"
        strokeLinecap="round"
      />
    </svg>
  );
}
