"""Who exists in the demo: tenants, extensions, ring groups, trunks, customers, and the outside world's numbers.

What lives here: the fixed facts of an invented company. What does not: what happened to them (``pbx_traffic``,
``sip_traffic``, ``hosting``). All names are invented. All numbers come from the ranges that the numbering authorities
keep free for fiction, except a few other countries' numbers, which are made of 555s.
"""

from dataclasses import dataclass
from functools import cached_property
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Europe/London")  # the company's business zone, the PBX's own zone and TIM4biz's
PBX = "hq"  # the names of the connections in the sample configuration
SIP = "sip"
TIM = "tim"
VPS = "vps"
PBX_CURRENCY = "EUR"
SIP_CURRENCY = "GBP"
TIM_CURRENCY = "EUR"


@dataclass(frozen=True)
class Destination:
    """A kind of outside number: what it costs to call, in 1/100000 of the PBX's currency.

    ``share`` is its weight among outbound calls; ``step`` the seconds that are charged for as a whole.
    """

    key: str
    stem: str  # E.164 without the last digits
    digits: int  # how many digits follow the stem
    share: float
    per_minute: int
    connection_charge: int = 0
    step: int = 1
    calls_in: bool = True  # whether such numbers also call us


DESTINATIONS = (
    Destination("UK London", "+4420794600", 2, 22, 800),
    Destination("UK Manchester", "+4416149600", 2, 14, 800),
    Destination("UK mobile", "+447700900", 3, 34, 2400),
    Destination("UK freephone", "+448081570", 3, 5, 0, calls_in=False),
    Destination("UK premium", "+4490987900", 2, 1, 120000, 10000, 60, calls_in=False),
    Destination("United States", "+12025550", 3, 6, 1200),
    Destination("Germany", "+493023125", 3, 6, 1600),
    Destination("France", "+331990012", 2, 3, 1700),
    Destination("Sweden", "+4684650045", 1, 2, 2000),
    Destination("Australia", "+61255501", 3, 2, 3000),
    Destination("Spain", "+3491555", 4, 2, 1900),
    Destination("Lithuania", "+370525550", 2, 2, 5500),
    Destination("Japan", "+8135555", 4, 1, 6100),
)


def outside_numbers(destination: Destination) -> list[str]:
    """Some E.164 numbers of a destination, always the same; at most 40 of each, so that partners recur."""
    last = 10**destination.digits
    count = min(40, last)
    first = 100 if destination.key == "United States" else 0  # 555-01xx only
    span = 100 if destination.key == "United States" else last
    return [f"{destination.stem}{first + (i * 37) % span:0{destination.digits}d}" for i in range(count)]


def dialled(e164: str) -> str:
    """An E.164 number as it is dialled in the United Kingdom."""
    return "0" + e164[3:] if e164.startswith("+44") else "00" + e164[1:]


@dataclass(frozen=True)
class Extension:
    """An extension of the PBX; ``departments`` are ids, the first is the main one."""

    id: str
    number: str
    name: str
    departments: tuple[str, ...]
    enabled: bool = True


@dataclass(frozen=True)
class RingGroup:
    """A ring group and the extensions that it rings; ``serial``: one after the other."""

    number: str
    members: tuple[str, ...]
    serial: bool


@dataclass(frozen=True)
class Did:
    """One of our own numbers and where it leads; ``inbound_per_minute`` in 1/100000 of the PBX's currency."""

    id: str
    e164: str
    type: str
    ext: str
    trunk: str
    name: str
    inbound_per_minute: int = 0


@dataclass(frozen=True)
class Tenant:
    """A tenant of the PBX; ``server`` is its key in tenant.list, ``share`` its part of the traffic."""

    server: str
    name: str
    code: str
    currency: str  # as tenant.configuration writes it: an ISO code, a symbol or nothing
    share: float
    departments: dict[str, str]
    extensions: tuple[Extension, ...]
    groups: tuple[RingGroup, ...]
    dids: tuple[Did, ...]

    @cached_property
    def names(self) -> dict[str, str]:
        """Name by extension number."""
        return {extension.number: extension.name for extension in self.extensions}


def _extensions(first_id: int, first_number: int, people: list[tuple[str, str]]) -> tuple[Extension, ...]:
    return tuple(
        Extension(
            str(first_id + i),
            str(first_number + i),
            name,
            tuple(filter(None, departments.split(","))),
            i != len(people) - 1,
        )
        for i, (name, departments) in enumerate(people)
    )


MASTER = "1"  # the master tenant: it has no calls, extensions or numbers
TRUNKS = {
    "6099": ("Northline SIP", "sip", "12", "Generic SIP", "enabled"),
    "6100": ("Northline backup", "sip", "12", "Generic SIP", "enabled"),
    "6101": ("Overseas IAX", "iax", "14", "Generic IAX", "enabled"),
    "6102": ("Old ISDN", "zaptel", "15", "Generic Analog", "disabled"),
}
TRUNK_IDS = ("", *TRUNKS)  # "" = no trunk: an extension

TENANTS = (
    Tenant(
        "2",
        "north.example.com",
        "344",
        "EUR",
        0.55,
        {"4": "Sales", "5": "Support", "6": "Accounts", "7": "Management"},
        _extensions(
            201,
            100,
            [
                ("Reception (front desk)", "7"),
                ("Annika Berglund", "4"),
                ("Tobias Quill", "4"),
                ('Rosa "Rosie" Fennimore', "4,7"),
                ("Halvard, Ingrid", "4"),
                ("Łukasz Dąbrowicz", "4"),
                ("Ольга Ветрова", "5"),
                ("山田 花子", "5"),
                ("Niamh O'Dwyer-Pratt", "5"),
                ("Support (2nd line) [rota]", "5"),
                ("Caspian Moor", "5"),
                ("Zoë Marchetti", "6"),
                ("Accounts & Credit Control", "6"),
                ("Bertil Ångström", "6,7"),
                ("@Boardroom", "7"),
                ("Unused desk", "7"),
            ],
        ),
        (RingGroup("600", ("101", "102", "104", "105"), False), RingGroup("601", ("106", "107", "108"), True)),
        (
            Did("7", "+442079460700", "Extension", "100", "6099", "Main number"),
            Did("8", "+442079460701", "Ring Group", "600", "6099", "Sales"),
            Did("9", "+442079460702", "Ring Group", "601", "6099", "Support"),
        ),
    ),
    Tenant(
        "7",
        "south.example.com",
        "454",
        "€",
        0.30,
        {"11": "Bookings", "12": "Warehouse"},
        _extensions(
            701,
            200,
            [
                ("Bookings desk", "11"),
                ("Femke Oosterling", "11"),
                ("Dario Vescovi", "11"),
                ("Priya Ramanathan-Holt", "11"),
                ("Warehouse, bay 3", "12"),
                ("Gwilym Tregarth", "12"),
                ("Søren Kvist", "12"),
                ("Spare handset", "12"),
            ],
        ),
        (RingGroup("602", ("200", "201", "202", "203", "205"), False), RingGroup("603", ("204", "206", "205"), True)),
        (
            Did("21", "+448081570700", "Ring Group", "602", "6099", "Freephone bookings", 3000),
            Did("22", "+441614960700", "Extension", "204", "6099", "Warehouse"),
        ),
    ),
    Tenant(
        "9",
        "studio.example.com",
        "999",
        "",
        0.15,
        {},
        _extensions(
            901,
            300,
            [
                ("Studio A", ""),
                ("Maël Kervadec", ""),
                ("--- Night line ---", ""),
                ("Ottoline Vance", ""),
                ("Test phone", ""),
            ],
        ),
        (RingGroup("604", ("300", "301", "303"), True),),
        (Did("31", "+442079460750", "Extension", "300", "6099", "Studio"),),
    ),
)
TENANT_BY_SERVER = {tenant.server: tenant for tenant in TENANTS}
EXTENSION_NAMES = {number: name for tenant in TENANTS for number, name in tenant.names.items()}


@dataclass(frozen=True)
class Endpoint:
    """An endpoint of a Sipcentric customer."""

    id: str
    type: str
    number: str
    name: str

    @property
    def party(self) -> str:
        return f"{self.name} <{self.number}>"


@dataclass(frozen=True)
class Customer:
    """A Sipcentric customer of the reseller; ``newer``: its calls come as the newer, longer objects."""

    id: str
    company: str
    contact: tuple[str, str]
    calls_per_day: int
    newer: bool
    account_type: str
    credit: str
    credit_field: str  # the name under which its credit status gives the credit
    numbers: tuple[str, ...]  # its own numbers, E.164
    endpoints: tuple[Endpoint, ...]
    bundles: tuple[tuple[str, str, int, int], ...]  # id, name, inclusive minutes, price a month in GBP

    @cached_property
    def phones(self) -> tuple[Endpoint, ...]:
        return tuple(endpoint for endpoint in self.endpoints if endpoint.type in {"phone", "virtual"})

    @cached_property
    def groups(self) -> tuple[Endpoint, ...]:
        return tuple(endpoint for endpoint in self.endpoints if endpoint.type in {"group", "queue"})


def _endpoints(first_id: int, *listed: tuple[str, str, str]) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(str(first_id + i), *one) for i, one in enumerate(listed))


CUSTOMERS = (
    Customer(
        "25",
        "Larkspur & Finch Ltd",
        ("Imogen", "Larkspur"),
        34,
        False,
        "PREPAID",
        "19.571",
        "creditRemaining",
        ("+442079460210", "+442079460211"),
        _endpoints(
            101,
            ("ivr", "001", "Main IVR"),
            ("phone", "102", "Imogen Larkspur"),
            ("phone", "103", "Mary - Clients"),
            ("phone", "104", 'Jonty "JF" Finch'),
            ("virtual", "105", "Van <driver>"),
            ("group", "500", "Sales Group"),
        ),
        (("1040", "1000 Mins - UK Local/National", 1000, 5),),
    ),
    Customer(
        "26",
        "Bramble Dental, Hove",
        ("Aurelio", "Tamm"),
        22,
        True,
        "POSTPAID",
        "-42.1875",
        "balance",
        ("+441614960220",),
        _endpoints(
            121,
            ("phone", "101", "Front desk (Bramble)"),
            ("phone", "102", "Dr Tamm, A."),
            ("phone", "103", "Surgery 2"),
            ("queue", "510", "Patients"),
            ("mailbox", "900", "Out of hours"),
        ),
        (("1041", "500 Mins - UK Mobile", 500, 12), ("1042", "1000 Mins - UK Local/National", 1000, 5)),
    ),
    Customer(
        "31",
        "Quarry Lane Studios",
        ("Delphine", "Achterberg"),
        12,
        True,
        "PREPAID",
        "0.004",
        "balance",
        ("+442079460230",),
        _endpoints(
            141,
            ("phone", "201", "Delphine Achterberg"),
            ("phone", "202", "Ståle Nygård"),
            ("group", "520", "Everyone"),
        ),
        (),
    ),
    Customer(
        "48",
        "Ништо Translations",
        ("Petra", "Kolarova"),
        3,
        False,
        "PREPAID",
        "250.00",
        "creditRemaining",
        ("+441614960240",),
        _endpoints(161, ("phone", "101", "Петра Коларова"), ("phone", "102", "Bureau")),
        (),
    ),
)
CUSTOMER_BY_ID = {customer.id: customer for customer in CUSTOMERS}
SMS_TEXTS = (
    "The marmalade is in the lighthouse.",
    "Running ten minutes late, start the kettle.",
    "Your appointment is on Thursday at 10:15.",
    'She said "yes" \\ no, twice \U0001f389',
    "",
)

SERVICE_PLANS = {"1": ("Standard", "0"), "2": ("Evenings by band", "1")}  # id -> name, whether priced by time of day
